//! `sql`: a call to a database that speaks SQL, from both generations of the semantic conventions.

use std::borrow::Cow;

use crate::attributes::{Attributes, scalar_text};
use crate::http::bracketed;
use crate::json::Json;
use crate::limits::{SHORT_TEXT_MAX, SHRUNK_TEXT_MAX, cut};

/// Databases that speak SQL by their names in the conventions, older and newer (the last three).
const SQL_SYSTEMS: [&str; 14] = [
    "db2",
    "derby",
    "hive",
    "mariadb",
    "mssql",
    "mysql",
    "oracle",
    "postgresql",
    "sqlite",
    "teradata",
    "other_sql",
    "ibm.db2",
    "microsoft.sql_server",
    "oracle.db",
];

/// The `sql` block.
#[derive(Debug)]
pub(crate) struct Sql<'t> {
    connection_string: String,
    /// The span's name: what upstream puts here, and what the console shows.
    url: &'t str,
    sanitized_query: &'t str,
    database_type: &'t str,
    user: &'t str,
}

impl<'t> Sql<'t> {
    /// The block of a span that calls such a database.
    pub(crate) fn new(span_name: &'t str, attributes: &mut Attributes<'t>) -> Option<Self> {
        let system = ["db.system", "db.system.name"]
            .into_iter()
            .find(|key| SQL_SYSTEMS.contains(&attributes.text(key)))?;
        let database_type = attributes.write_text(&[system]);
        let host = attributes.write_text(&["db.connection_string"]);
        let host = if host.is_empty() {
            server(attributes)
        } else {
            Cow::Borrowed(host)
        };
        let database = attributes.write_text(&["db.name", "db.namespace"]);
        let user = attributes.find_any(&["db.user", "user.name"]);
        let user_text = user.map_or("", |user| crate::attributes::text(user.value));
        let user_cut = cut(user_text, SHORT_TEXT_MAX);
        if let Some(user) = user
            && user_cut.len() == user_text.len()
            && !user_text.is_empty()
        {
            attributes.written(user.index);
        }
        Some(Self {
            connection_string: format!("{host}/{database}"),
            url: span_name,
            sanitized_query: attributes.write_text(&["db.statement", "db.query.text"]),
            database_type,
            user: user_cut,
        })
    }

    /// Cuts the long texts. True if that changed anything.
    pub(crate) fn cut_texts(&mut self) -> bool {
        let before = self.sanitized_query.len() + self.url.len() + self.connection_string.len();
        self.sanitized_query = cut(self.sanitized_query, SHRUNK_TEXT_MAX);
        self.url = cut(self.url, SHRUNK_TEXT_MAX);
        let kept = cut(&self.connection_string, SHRUNK_TEXT_MAX).len();
        self.connection_string.truncate(kept);
        self.sanitized_query.len() + self.url.len() + self.connection_string.len() < before
    }

    /// Writes the value of `sql`.
    pub(crate) fn write(&self, json: &mut Json) {
        json.object(|json| {
            json.text_member("connection_string", &self.connection_string);
            json.text_member("url", self.url);
            json.text_member("sanitized_query", self.sanitized_query);
            json.text_member("database_type", self.database_type);
            json.text_member("user", self.user);
        });
    }
}

/// The server as the newer conventions name it, else what upstream says for an unknown one.
fn server<'t>(attributes: &Attributes<'t>) -> Cow<'t, str> {
    let host = attributes.text("server.address");
    if host.is_empty() {
        return Cow::Borrowed("localhost");
    }
    let port = attributes
        .find("server.port")
        .map_or(Cow::Borrowed(""), |port| scalar_text(port.value));
    let host = bracketed(host);
    if port.is_empty() {
        host
    } else {
        Cow::Owned(format!("{host}:{port}"))
    }
}
