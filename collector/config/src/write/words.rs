//! The words of closed sets, as `config` reads them.

use super::yaml::{ToYaml, Yaml, double};
use crate::config::{LogLevelWord, MetricsLevel, ResourceVerb};
use crate::settings::{
    AttributeValue, Compression, LabelUnderscores, LogEncoding, LogLevel, StatusCode, TranslationStrategy,
    Verbosity,
};

fn token(word: &str) -> Yaml {
    Yaml::Token(word.to_owned())
}

impl ToYaml for StatusCode {
    fn to_yaml(&self) -> Yaml {
        token(match self {
            StatusCode::Unset => "UNSET",
            StatusCode::Ok => "OK",
            StatusCode::Error => "ERROR",
        })
    }
}

impl ToYaml for ResourceVerb {
    fn to_yaml(&self) -> Yaml {
        token(match self {
            ResourceVerb::Insert => "insert",
            ResourceVerb::Update => "update",
            ResourceVerb::Upsert => "upsert",
            ResourceVerb::Delete => "delete",
        })
    }
}

impl ToYaml for AttributeValue {
    fn to_yaml(&self) -> Yaml {
        match self {
            AttributeValue::String(value) => value.to_yaml(),
            AttributeValue::Bool(value) => value.to_yaml(),
            AttributeValue::Int(value) => value.to_yaml(),
            AttributeValue::Double(value) => Yaml::Token(double(*value)),
        }
    }
}

impl ToYaml for Compression {
    fn to_yaml(&self) -> Yaml {
        token(match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::None => "none",
        })
    }
}

impl ToYaml for Verbosity {
    fn to_yaml(&self) -> Yaml {
        token(match self {
            Verbosity::Basic => "basic",
            Verbosity::Normal => "normal",
            Verbosity::Detailed => "detailed",
        })
    }
}

impl ToYaml for LogLevelWord {
    fn to_yaml(&self) -> Yaml {
        token(match self {
            LogLevelWord::Debug => "debug",
            LogLevelWord::Info => "info",
            LogLevelWord::Warn => "warn",
            LogLevelWord::Error => "error",
        })
    }
}

impl ToYaml for LogLevel {
    fn to_yaml(&self) -> Yaml {
        token(match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        })
    }
}

impl ToYaml for LogEncoding {
    fn to_yaml(&self) -> Yaml {
        token(match self {
            LogEncoding::Console => "console",
            LogEncoding::Json => "json",
        })
    }
}

impl ToYaml for MetricsLevel {
    fn to_yaml(&self) -> Yaml {
        token(match self {
            MetricsLevel::None => "none",
            MetricsLevel::Basic => "basic",
            MetricsLevel::Normal => "normal",
            MetricsLevel::Detailed => "detailed",
        })
    }
}

impl ToYaml for TranslationStrategy {
    fn to_yaml(&self) -> Yaml {
        token(match self {
            TranslationStrategy::UnderscoreEscapingWithSuffixes => "UnderscoreEscapingWithSuffixes",
            TranslationStrategy::UnderscoreEscapingWithoutSuffixes => "UnderscoreEscapingWithoutSuffixes",
        })
    }
}

impl ToYaml for LabelUnderscores {
    fn to_yaml(&self) -> Yaml {
        token(match self {
            LabelUnderscores::Collapse => "collapse",
            LabelUnderscores::Preserve => "preserve",
        })
    }
}
