//! Which format a scraper gets.

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format for a request with this `Accept` header (several joined with commas; empty for none).
    ///
    /// OpenMetrics only for those who ask for version 1.0.0 of it, and only if `enable_open_metrics`; everybody else gets
    /// [`Format::Text`], also who asks for something else: a scraper that cannot read it says so. As in upstream's
    /// `expfmt`, a wildcard is no wish for OpenMetrics.
    pub fn negotiate(accept: &str, enable_open_metrics: bool) -> Self {
        let wish = accept
            .split(',')
            .filter_map(Wish::read)
            // The first of equal ones.
            .reduce(|best, wish| if wish.quality > best.quality { wish } else { best });
        match wish {
            Some(wish) if enable_open_metrics => wish.format,
            Some(_) | None => Self::Text,
        }
    }

    /// The answer's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// One part of an `Accept` header that we could fulfil.
struct Wish {
    format: Format,
    quality: f32,
}

impl Wish {
    fn read(part: &str) -> Option<Self> {
        let mut fields = part.split(';').map(str::trim);
        let media = fields.next()?.to_ascii_lowercase();
        let mut version = "";
        let mut quality = 1.0;
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match key.trim().to_ascii_lowercase().as_str() {
                "version" => version = value,
                // What is no number is no wish.
                "q" => quality = value.parse().unwrap_or(0.0),
                _ => {}
            }
        }
        let format = match (media.as_str(), version) {
            ("application/openmetrics-text", "1.0.0") => Format::OpenMetrics,
            ("text/plain", "" | "0.0.4") | ("text/*" | "*/*", _) => Format::Text,
            _ => return None,
        };
        (quality > 0.0).then_some(Self { format, quality })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it_where_it_is_on() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                      application/openmetrics-text; version=1.0.0; q=0.5, text/plain; version=0.0.4; q=0.4";
        for accept in [
            prometheus_2,
            prometheus_3,
            native,
            "application/openmetrics-text; version=\"1.0.0\"",
        ] {
            assert_eq!(Format::negotiate(accept, true), Format::OpenMetrics, "{accept}");
            assert_eq!(Format::negotiate(accept, false), Format::Text, "{accept}");
        }
    }

    #[test]
    fn everybody_else_gets_the_plain_text() {
        let table = [
            "",
            "*/*",
            "text/*",
            "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8",
            "text/plain",
            "application/openmetrics-text",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=1.0.0;q=0",
            "application/openmetrics-text;version=1.0.0;q=x",
            "application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.5",
            "application/json",
            ";;;=,,q",
        ];
        for accept in table {
            assert_eq!(Format::negotiate(accept, true), Format::Text, "{accept}");
        }
    }

    #[test]
    fn the_content_type_names_the_version() {
        assert_eq!(
            Format::Text.content_type(),
            "text/plain; version=0.0.4; charset=utf-8"
        );
        assert!(
            Format::OpenMetrics
                .content_type()
                .starts_with("application/openmetrics-text; version=1.0.0;")
        );
    }
}
