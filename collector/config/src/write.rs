//! A [`Config`] as OpenTelemetry Collector YAML, for people to read and for the collector to load.
//!
//! What is read back is what was written, whatever the texts in it: see `yaml` for how a text stands in the file.

mod components;
mod metrics;
mod sampling;
mod words;
mod yaml;

use crate::config::{Component, ComponentId, Config, PipelineConfig, ServiceConfig, Spanned};
use yaml::{Map, Yaml};

impl Config {
    /// Writes the configuration with upstream's keys and in upstream's usual order. Only what is set is written.
    ///
    /// Every `$` of a value is written `$$`: the reader's expansion gives the literal back and never looks at the
    /// environment. What [`Config::resolve`] accepts, [`crate::load`] reads back to the same [`crate::Settings`].
    pub fn to_yaml(&self) -> String {
        let map = Map::default()
            .filled("receivers", section(&self.receivers, components::receiver))
            .filled("processors", section(&self.processors, components::processor))
            .filled("exporters", section(&self.exporters, components::exporter))
            .filled("extensions", section(&self.extensions, components::extension))
            .filled("service", service(&self.service));
        yaml::print(&map)
    }
}

fn section<T>(components: &[Component<T>], write: fn(&T) -> Map) -> Map {
    components.iter().fold(Map::default(), |map, component| {
        map.with(component.id.value.to_string(), write(&component.config))
    })
}

fn service(config: &ServiceConfig) -> Map {
    let pipelines = config.pipelines.iter().fold(Map::default(), |map, entry| {
        map.with(entry.id.value.to_string(), pipeline(entry))
    });
    let logs = &config.telemetry.logs;
    let metrics = &config.telemetry.metrics;
    let readers = metrics.readers.as_ref().map(|readers| {
        let readers = readers
            .value
            .iter()
            .map(|reader| components::reader(&reader.value));
        Yaml::List(readers.map(Yaml::Map).collect())
    });
    let telemetry = Map::default()
        .filled(
            "logs",
            Map::default()
                .field("level", &logs.level)
                .field("encoding", &logs.encoding),
        )
        .filled(
            "metrics",
            Map::default()
                .field("level", &metrics.level)
                .maybe("readers", readers),
        );
    Map::default()
        .maybe("extensions", ids(&config.extensions))
        .filled("pipelines", pipelines)
        .filled("telemetry", telemetry)
}

fn pipeline(config: &PipelineConfig) -> Map {
    Map::default()
        .maybe("receivers", ids(&config.receivers))
        .maybe("processors", ids(&config.processors))
        .maybe("exporters", ids(&config.exporters))
}

fn ids(ids: &[Spanned<ComponentId>]) -> Option<Yaml> {
    let texts = ids.iter().map(|id| Yaml::Text(id.value.to_string()));
    (!ids.is_empty()).then(|| Yaml::List(texts.collect()))
}
