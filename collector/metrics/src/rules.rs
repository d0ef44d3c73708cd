//! What the settings say of names and labels.

use tracepipe_config::{LabelUnderscores, ResourcePromotion, TranslationSettings};

use crate::label_set::{LabelSet, Unsorted};
use crate::labels::{put_name, put_value};
use crate::names::MetricNamer;
use crate::view::{Attribute, ResourceMetrics, ScopeMetrics};

/// The attributes that say which instance of which service a resource is (OpenTelemetry semantic conventions, "Service").
pub(crate) const SERVICE_NAME: &[u8] = b"service.name";
pub(crate) const SERVICE_NAMESPACE: &[u8] = b"service.namespace";
pub(crate) const SERVICE_INSTANCE_ID: &[u8] = b"service.instance.id";

/// How OTLP becomes names and labels.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) namer: MetricNamer,
    underscores: LabelUnderscores,
    promote: ResourcePromotion,
    scope_info: bool,
    /// Labels of every series that has none of that name.
    external: LabelSet,
}

impl Rules {
    pub(crate) fn new(settings: &TranslationSettings, external: &[(String, String)]) -> Self {
        let mut labels = Unsorted::default();
        for (name, value) in external {
            labels.push(name.as_bytes(), value.as_bytes());
        }
        Self {
            namer: MetricNamer::new(settings),
            underscores: settings.label_underscores,
            promote: settings.promote.clone(),
            scope_info: settings.scope_info,
            external: labels.sort_last_wins(),
        }
    }

    /// The labels of attributes, values that meet under one name joined in the order of their keys. What gives no label is
    /// counted in `dropped`.
    pub(crate) fn labels<'a>(
        &self,
        attributes: impl Iterator<Item = Attribute<'a>>,
        dropped: &mut u64,
    ) -> LabelSet {
        let mut attributes: Vec<_> = attributes.collect();
        attributes.sort_by_key(|attribute| attribute.key);
        let mut labels = Unsorted::default();
        for attribute in &attributes {
            self.push(&mut labels, attribute, dropped);
        }
        labels.sort()
    }

    fn push(&self, labels: &mut Unsorted, attribute: &Attribute<'_>, dropped: &mut u64) {
        labels.push_with(|text| {
            let start = text.len();
            if put_name(attribute.key, self.underscores, text).is_err() {
                *dropped += 1;
                return None;
            }
            let name_len = text.len() - start;
            put_value(attribute.value, text);
            Some(name_len)
        });
    }

    /// `job` and `instance`, each if the resource says it.
    pub(crate) fn owner(resource: &ResourceMetrics<'_>) -> LabelSet {
        // Of an attribute that is there twice the first counts, as in the Collector.
        let find = |key: &[u8]| resource.attributes().find(|attribute| attribute.key == key);
        let mut labels = Unsorted::default();
        if let Some(name) = find(SERVICE_NAME) {
            let mut service = Vec::new();
            put_value(name.value, &mut service);
            let mut job = Vec::new();
            if let (Some(namespace), false) = (find(SERVICE_NAMESPACE), service.is_empty()) {
                // Upstream does not ask whether it is empty: `/name`.
                put_value(namespace.value, &mut job);
                job.push(b'/');
            }
            job.extend_from_slice(&service);
            labels.push(b"job", &job);
        }
        if let Some(id) = find(SERVICE_INSTANCE_ID) {
            let mut instance = Vec::new();
            put_value(id.value, &mut instance);
            labels.push(b"instance", &instance);
        }
        labels.sort()
    }

    /// What lies under the labels of points: the resource's attributes that are promoted, over the external labels.
    pub(crate) fn under(&self, resource: &ResourceMetrics<'_>, dropped: &mut u64) -> LabelSet {
        let promoted = resource
            .attributes()
            .filter(|attribute| self.is_promoted(attribute.key));
        self.labels(promoted, dropped).over(&self.external)
    }

    fn is_promoted(&self, key: &[u8]) -> bool {
        match &self.promote {
            ResourcePromotion::None => false,
            ResourcePromotion::All {
                exclude_service_attributes,
            } => !(*exclude_service_attributes && is_service_attribute(key)),
            ResourcePromotion::Matching { included, excluded } => {
                let matches =
                    |patterns: &[String]| patterns.iter().any(|pattern| glob(pattern.as_bytes(), key));
                !matches(excluded) && (included.is_empty() || matches(included))
            }
        }
    }

    /// What lies over the labels of points: the scope's, over `job` and `instance`.
    pub(crate) fn over(&self, scope: &ScopeMetrics<'_>, owner: &LabelSet, dropped: &mut u64) -> LabelSet {
        if !self.scope_info {
            return owner.clone();
        }
        let mut labels = Unsorted::default();
        let mut push = |key: &[u8], value| {
            let key = [b"otel_scope_", key].concat();
            let attribute = Attribute { key: &key, value };
            self.push(&mut labels, &attribute, dropped);
        };
        push(b"name", crate::view::Value::Text(scope.name));
        push(b"version", crate::view::Value::Text(scope.version));
        for attribute in scope.attributes() {
            // They would pass for what the scope says of itself.
            if !matches!(attribute.key, b"name" | b"version" | b"schema_url") {
                push(attribute.key, attribute.value);
            }
        }
        push(b"schema_url", crate::view::Value::Text(scope.schema_url));
        labels.sort_last_wins().over(owner)
    }

    /// The labels of `target_info`, but its name; none when the resource says nothing that would be worth it.
    pub(crate) fn target_info(
        &self,
        resource: &ResourceMetrics<'_>,
        owner: &LabelSet,
        dropped: &mut u64,
    ) -> Option<LabelSet> {
        let others = || {
            resource
                .attributes()
                .filter(|attribute| !is_service_attribute(attribute.key))
        };
        if owner.is_empty() || others().next().is_none() {
            return None;
        }
        Some(owner.over(&self.labels(others(), dropped)).over(&self.external))
    }
}

pub(crate) fn is_service_attribute(key: &[u8]) -> bool {
    [SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE_ID].contains(&key)
}

/// `*` is any text, `?` any one character.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to go on when what follows the last star does not fit: the star takes one character more.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        let next = match (pattern, text) {
            ([b'*', rest @ ..], _) => {
                retry = Some((rest, text));
                Some((rest, text))
            }
            ([], []) => return true,
            ([b'?', rest @ ..], [_, ..]) => Some((rest, after_character(text))),
            ([wanted, rest @ ..], [found, more @ ..]) if wanted == found => Some((rest, more)),
            _ => None,
        };
        (pattern, text) = match (next, retry) {
            (Some(next), _) => next,
            (None, Some((rest, [_, ..]))) => {
                let (_, taken) = retry.unwrap_or_default();
                let text = after_character(taken);
                retry = Some((rest, text));
                (rest, text)
            }
            (None, _) => return false,
        };
    }
}

/// Without the first character, which is one byte where it is no UTF-8.
fn after_character(text: &[u8]) -> &[u8] {
    let mut rest = text.get(1..).unwrap_or_default();
    while let [0x80..0xc0, after @ ..] = rest {
        rest = after;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        let cases = [
            ("*", "", true),
            ("*", "k8s.pod.name", true),
            ("k8s.*", "k8s.pod.name", true),
            ("k8s.*", "k8s", false),
            ("*.name", "k8s.pod.name", true),
            ("*.name", "k8s.pod.names", false),
            ("k8s.*.name", "k8s.pod.name.name", true),
            ("k?s", "k8s", true),
            ("k?s", "ks", false),
            ("k?s", "k\u{e9}s", true),
            ("k??s", "k\u{e9}s", false),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("service.name", "service_name", false),
        ];
        for (pattern, text, fits) in cases {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                fits,
                "{pattern} on {text}"
            );
        }
    }
}
