//! AWS Signature Version 4, verified (and made, for this crate's own tests).
//!
//! The rules are those of the AWS General Reference, "Create a signed AWS API request": canonical request, string to
//! sign, derived key. Only the header form exists: nobody presigns a call to X-Ray or STS here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// AWS refuses a request whose `x-amz-date` is further than this from its own clock.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// One access key that the fake knows.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`; when set the request must carry and sign it.
    pub session_token: Option<String>,
    /// From then on requests get `ExpiredTokenException`.
    pub expires: Option<SystemTime>,
}

impl Credentials {
    /// A long-term key without session.
    pub fn new(access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token: None,
            expires: None,
        }
    }
}

/// Why a request was not let in. `code` and `status` are what AWS answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// There is no `authorization` header.
    Missing,
    /// A part of the signature is absent or malformed.
    Incomplete(String),
    /// The access key or the session token is not known.
    Unknown,
    /// The session ended.
    Expired,
    /// The signature, the date or the scope is wrong.
    Invalid(String),
}

impl Denied {
    /// The exception's name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::Unknown => "UnrecognizedClientException",
            Self::Expired => "ExpiredTokenException",
            Self::Invalid(_) => "InvalidSignatureException",
        }
    }

    /// What a person reads.
    pub fn message(&self) -> String {
        match self {
            Self::Missing => "Missing Authentication Token".into(),
            Self::Incomplete(what) | Self::Invalid(what) => what.clone(),
            Self::Unknown => "The security token included in the request is invalid.".into(),
            Self::Expired => "The security token included in the request is expired".into(),
        }
    }
}

/// Who may call, and what for.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// The keys that are known.
    pub credentials: Vec<Credentials>,
    /// The scope's region; `None` takes any.
    pub region: Option<String>,
    /// The scope's service: `xray`.
    pub service: String,
}

impl Verifier {
    /// Checks the signature of a request whose body has been read.
    ///
    /// # Errors
    /// The first thing that AWS would refuse.
    pub fn verify(&self, request: &Parts, body: &[u8], now: SystemTime) -> Result<(), Denied> {
        let text = header(&request.headers, "authorization").ok_or(Denied::Missing)?;
        let authorization = Authorization::parse(text)?;
        let scope = Scope::parse(authorization.scope)?;
        let known = self
            .credentials
            .iter()
            .find(|known| known.access_key_id == authorization.access_key_id)
            .ok_or(Denied::Unknown)?;
        self.check_scope(&scope)?;
        check_signed_headers(request, &authorization.signed_headers)?;
        let date = check_date(request, &scope, now)?;
        check_token(request, known)?;
        if known.expires.is_some_and(|expires| expires <= now) {
            return Err(Denied::Expired);
        }
        let payload_hash = hex(&Sha256::digest(body));
        if header(&request.headers, "x-amz-content-sha256").is_some_and(|said| said != payload_hash) {
            return Err(Denied::Invalid(
                "x-amz-content-sha256 is not the hash of the body".into(),
            ));
        }
        let canonical = canonical_request(request, &authorization.signed_headers, &payload_hash)?;
        let expected = signature(&known.secret_access_key, &date, &scope, &canonical);
        if expected != authorization.signature {
            return Err(Denied::Invalid(
                "The request signature we calculated does not match the signature you provided.".into(),
            ));
        }
        Ok(())
    }

    fn check_scope(&self, scope: &Scope<'_>) -> Result<(), Denied> {
        if scope.service != self.service {
            return Err(Denied::Invalid(format!(
                "Credential should be scoped to correct service: '{}'.",
                self.service
            )));
        }
        match &self.region {
            Some(region) if region != scope.region => Err(Denied::Invalid(format!(
                "Credential should be scoped to a valid region, not '{}'.",
                scope.region
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

/// The access key that a request says it is signed with; nothing is verified here.
pub fn access_key_id(request: &Parts) -> Option<&str> {
    let authorization = Authorization::parse(header(&request.headers, "authorization")?).ok()?;
    Some(authorization.access_key_id)
}

/// The service that a request says it is signed for; nothing is verified here.
pub(crate) fn service(request: &Parts) -> Option<&str> {
    let authorization = Authorization::parse(header(&request.headers, "authorization")?).ok()?;
    Some(Scope::parse(authorization.scope).ok()?.service)
}

/// Signs a request in place: adds `host` (when absent), `x-amz-date`, `x-amz-security-token` and `authorization`.
///
/// # Errors
/// When a header value cannot be written.
pub fn sign(
    request: &mut Parts,
    body: &[u8],
    key: &Credentials,
    (region, service): (&str, &str),
    now: SystemTime,
) -> anyhow::Result<()> {
    let date = amz_date(now);
    if !request.headers.contains_key("host") {
        let host = request
            .uri
            .authority()
            .map(|authority| authority.as_str())
            .unwrap_or_default();
        request.headers.insert("host", HeaderValue::from_str(host)?);
    }
    request
        .headers
        .insert("x-amz-date", HeaderValue::from_str(&date)?);
    if let Some(token) = &key.session_token {
        request
            .headers
            .insert("x-amz-security-token", HeaderValue::from_str(token)?);
    }
    let mut signed: Vec<&str> = request.headers.keys().map(http::HeaderName::as_str).collect();
    signed.sort_unstable();
    let payload_hash = hex(&Sha256::digest(body));
    let canonical = canonical_request(request, &signed, &payload_hash)
        .map_err(|denied| anyhow::anyhow!(denied.message()))?;
    let scope = Scope {
        date: date.get(..8).unwrap_or_default(),
        region,
        service,
    };
    let signature = signature(&key.secret_access_key, &date, &scope, &canonical);
    let authorization = format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={signature}",
        key.access_key_id,
        scope.text(),
        signed.join(";"),
    );
    request
        .headers
        .insert("authorization", HeaderValue::from_str(&authorization)?);
    Ok(())
}

struct Authorization<'a> {
    access_key_id: &'a str,
    scope: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(text: &'a str) -> Result<Self, Denied> {
        let incomplete = |what: &str| Denied::Incomplete(format!("Authorization header requires '{what}'"));
        let rest = text
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| incomplete(ALGORITHM))?;
        let part = |name: &str| {
            rest.split(',')
                .map(str::trim)
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
                .filter(|value| !value.is_empty())
                .ok_or_else(|| incomplete(name))
        };
        let (access_key_id, scope) = part("Credential")?
            .split_once('/')
            .ok_or_else(|| incomplete("Credential"))?;
        Ok(Self {
            access_key_id,
            scope,
            signed_headers: part("SignedHeaders")?.split(';').collect(),
            signature: part("Signature")?,
        })
    }
}

struct Scope<'a> {
    date: &'a str,
    region: &'a str,
    service: &'a str,
}

impl<'a> Scope<'a> {
    fn parse(text: &'a str) -> Result<Self, Denied> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [date, region, service, "aws4_request"] => Ok(Self {
                date,
                region,
                service,
            }),
            _ => Err(Denied::Incomplete(format!(
                "Credential must be KEY/DATE/REGION/SERVICE/aws4_request, not KEY/{text}"
            ))),
        }
    }

    fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

/// `host` and every `x-amz-*` header that is sent must be signed; the list is lower case and sorted.
fn check_signed_headers(request: &Parts, signed: &[&str]) -> Result<(), Denied> {
    if !signed.is_sorted()
        || signed
            .iter()
            .any(|name| name.chars().any(|c| c.is_ascii_uppercase()))
    {
        return Err(Denied::Invalid(
            "SignedHeaders must be lower case and sorted".into(),
        ));
    }
    let must_sign = |name: &str| name == "host" || name.starts_with("x-amz-");
    let unsigned = std::iter::once("host")
        .chain(request.headers.keys().map(http::HeaderName::as_str))
        .find(|name| must_sign(name) && !signed.contains(name));
    match unsigned {
        Some(name) => Err(Denied::Invalid(format!("'{name}' must be a signed header"))),
        None => Ok(()),
    }
}

fn check_date(request: &Parts, scope: &Scope<'_>, now: SystemTime) -> Result<String, Denied> {
    let date = header(&request.headers, "x-amz-date")
        .ok_or_else(|| Denied::Incomplete("Authorization header requires 'x-amz-date'".into()))?;
    let at = parse_amz_date(date).ok_or_else(|| {
        Denied::Incomplete(format!("Date must be in ISO-8601 'basic format', not '{date}'"))
    })?;
    if !date.starts_with(scope.date) {
        return Err(Denied::Invalid(
            "Date in Credential scope does not match the request's date".into(),
        ));
    }
    let skew = now.duration_since(at).unwrap_or_else(|early| early.duration());
    if skew > CLOCK_SKEW_MAX {
        return Err(Denied::Invalid(format!(
            "Signature expired: {date} is {} s away",
            skew.as_secs()
        )));
    }
    Ok(date.to_owned())
}

fn check_token(request: &Parts, known: &Credentials) -> Result<(), Denied> {
    if header(&request.headers, "x-amz-security-token") == known.session_token.as_deref() {
        Ok(())
    } else {
        Err(Denied::Unknown)
    }
}

fn canonical_request(request: &Parts, signed: &[&str], payload_hash: &str) -> Result<String, Denied> {
    let mut headers = String::new();
    for name in signed {
        let value = canonical_value(request, name)
            .ok_or_else(|| Denied::Invalid(format!("signed header '{name}' was not sent")))?;
        headers.push_str(&format!("{name}:{value}\n"));
    }
    Ok(format!(
        "{}\n{}\n{}\n{headers}\n{}\n{payload_hash}",
        request.method,
        encode_path(request.uri.path()),
        canonical_query(request.uri.query().unwrap_or_default()),
        signed.join(";"),
    ))
}

fn canonical_value(request: &Parts, name: &str) -> Option<String> {
    let values: Vec<String> = request
        .headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    if values.is_empty() && name == "host" {
        // HTTP/2 has no host header: `:authority` stands for it.
        return request
            .uri
            .authority()
            .map(|authority| authority.as_str().to_owned());
    }
    (!values.is_empty()).then(|| values.join(","))
}

/// Every service but S3 encodes the path of the request line once more.
fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    if encoded.is_empty() { "/".into() } else { encoded }
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}

fn signature(secret: &str, date: &str, scope: &Scope<'_>, canonical: &str) -> String {
    let to_sign = format!(
        "{ALGORITHM}\n{date}\n{}\n{}",
        scope.text(),
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [scope.date, scope.region, scope.service, "aws4_request"] {
        key = hmac_sha256(&key, part.as_bytes());
    }
    hex(&hmac_sha256(&key, to_sign.as_bytes()))
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    // HMAC takes keys of every length (RFC 2104); an empty result would match no signature.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `2015-08-30T12:36:00Z`, as AWS writes times in XML.
pub(crate) fn iso_8601(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `Sun, 30 Aug 2015 12:36:00 GMT` (RFC 9110, "IMF-fixdate").
pub(crate) fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let name = |names: &[&'static str], at: u64| {
        let at = usize::try_from(at).unwrap_or_default();
        names.get(at).copied().unwrap_or_default()
    };
    let (of_week, of_year) = (name(&DAYS, seconds / 86_400 % 7), name(&MONTHS, month - 1));
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{of_week}, {day:02} {of_year} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// `20150830T123600Z`.
fn amz_date(time: SystemTime) -> String {
    iso_8601(time).replace(['-', ':'], "")
}

fn parse_amz_date(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<u64> {
        let digits = text.get(range)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    Some(UNIX_EPOCH + Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second))
}

/// Days from 1970-01-01 in the Gregorian calendar. Counting years from 1 March puts the leap day last, so that month
/// lengths follow one linear formula.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days_to_year = 365 * year + year / 4 - year / 100 + year / 400;
    let days_to_month = (153 * month + 2) / 5;
    // 719468 days lie between 0000-03-01 and 1970-01-01.
    days_to_year + days_to_month + day - 1 - 719_468
}

fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // A linear guess that is never too late, then at most a step or two.
    let mut year = 1970 + days / 366;
    while days_from_civil(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12)
        .rev()
        .find(|month| days_from_civil(year, *month, 1) <= days)
        .unwrap_or(1);
    (year, month, days - days_from_civil(year, month, 1) + 1)
}

#[cfg(test)]
#[path = "sigv4_tests.rs"]
mod tests;
