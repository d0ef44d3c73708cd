//! On which line of a text each field stands. Values are read by `serde_saphyr`, which does not keep them.

use std::collections::HashMap;

use granit_parser::{Event, Parser};

use crate::schema::join;

/// The lines of one document's fields.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// By path, from 1.
    lines: HashMap<String, usize>,
}

impl Lines {
    /// Of each document of a text that is not empty, as far as the text can be read.
    pub(crate) fn of_documents(yaml: &str) -> Vec<Self> {
        let mut documents = Vec::new();
        let mut walk = Walk::default();
        for event in Parser::new_from_str(yaml) {
            let Ok((event, span)) = event else {
                break;
            };
            let line = span.start.line();
            match event {
                Event::DocumentStart(..) => walk = Walk::default(),
                Event::DocumentEnd if walk.empty => {}
                Event::DocumentEnd => documents.push(std::mem::take(&mut walk.found)),
                Event::MappingStart(..) => walk.open(line, Open::Mapping { key: None }),
                Event::SequenceStart(..) => walk.open(line, Open::Sequence { next: 0 }),
                Event::MappingEnd | Event::SequenceEnd => walk.close(),
                Event::Scalar(text, ..) => walk.scalar(line, &text),
                Event::Alias(_) => walk.scalar(line, "*"),
                // Comments, and what is not written at all. The enum is not ours and may grow.
                Event::StreamStart
                | Event::StreamEnd
                | Event::Anchor(..)
                | Event::UnresolvedAlias(_)
                | Event::Comment(..)
                | _ => {}
            }
        }
        documents
    }

    /// Each field with its line.
    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, usize)> {
        self.lines.iter().map(|(path, line)| (path, *line))
    }

    /// The line of a field, or of the nearest field around it that is written.
    pub(crate) fn nearest(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            match (self.lines.get(path), path.rfind(['.', '['])) {
                (Some(line), _) => return Some(*line),
                (None, Some(end)) => path = path.get(..end)?,
                (None, None) => return self.lines.get("").copied(),
            }
        }
    }
}

enum Open {
    Mapping { key: Option<String> },
    Sequence { next: usize },
}

struct Walk {
    /// The mappings and lists around the next event, with their paths.
    open: Vec<(String, Open)>,
    found: Lines,
    empty: bool,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            found: Lines::default(),
            empty: true,
        }
    }
}

impl Walk {
    fn open(&mut self, line: usize, open: Open) {
        self.empty = false;
        let path = self.value(line);
        self.open.push((path, open));
    }

    fn close(&mut self) {
        self.open.pop();
    }

    fn scalar(&mut self, line: usize, text: &str) {
        if let Some((path, Open::Mapping { key: key @ None })) = self.open.last_mut() {
            self.found.lines.entry(join(path, text)).or_insert(line);
            *key = Some(text.to_owned());
            return;
        }
        self.empty &= self.open.is_empty() && text.is_empty();
        self.value(line);
    }

    /// The path of the value that comes now; its key, if it has one, is used up.
    fn value(&mut self, line: usize) -> String {
        let path = match self.open.last_mut() {
            Some((path, Open::Mapping { key })) => join(path, &key.take().unwrap_or_default()),
            Some((path, Open::Sequence { next })) => {
                let item = format!("{path}[{next}]");
                *next += 1;
                item
            }
            None => String::new(),
        };
        self.found.lines.entry(path.clone()).or_insert(line);
        path
    }
}
