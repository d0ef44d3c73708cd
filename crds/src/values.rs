//! Values that are written as text: percentages, durations, amounts. The grammar is narrow on purpose, so that the
//! API server, the operator and a reader agree on what a text means.

use std::fmt;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::rules::DURATION_LENGTH_MAX;

/// Most cores of a CPU amount: more than any machine has, few enough for `u32` thousandths.
const CPU_CORES_MAX: u32 = 1000;

/// Longest `ampRemoteWriteEndpoint`, in bytes.
pub(crate) const WORKSPACE_URL_LENGTH_MAX: usize = 512;

/// A share in steps of a ten-thousandth of a percent, 0 to 100 percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percentage(u32);

impl Percentage {
    const STEPS: u32 = 10_000;

    /// Reads a whole number from 0 to 100, or a text with at most four decimals. None for anything else.
    pub fn parse(value: &IntOrString) -> Option<Self> {
        let steps = match value {
            IntOrString::Int(whole) => u32::try_from(*whole).ok()?.checked_mul(Self::STEPS)?,
            IntOrString::String(text) => {
                let (whole, decimals) = match text.split_once('.') {
                    Some((_, "")) => return None,
                    Some(parts) => parts,
                    None => (text.as_str(), ""),
                };
                if whole.len() > 3 || (whole.len() == 3 && whole != "100") || decimals.len() > 4 {
                    return None;
                }
                digits(whole)? * Self::STEPS + digits(&format!("{decimals:0<4}"))?
            }
        };
        (steps <= 100 * Self::STEPS).then_some(Self(steps))
    }

    /// In percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / f64::from(Self::STEPS)
    }
}

impl fmt::Display for Percentage {
    /// The shortest decimal form, for example `10` or `0.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 / Self::STEPS)?;
        let decimals = format!("{:04}", self.0 % Self::STEPS);
        match decimals.trim_end_matches('0') {
            "" => Ok(()),
            decimals => write!(f, ".{decimals}"),
        }
    }
}

/// A span of time in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(u64);

impl Duration {
    /// Reads whole numbers with the units ms, s, m and h, for example `10s` or `1m30s`: at most 16 characters, and at
    /// most eight digits for a unit (four for h), so that every program that reads it can hold it. None for anything
    /// else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > DURATION_LENGTH_MAX {
            return None;
        }
        let mut rest = text;
        let mut total = 0_u64;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, tail) = rest.split_at(end);
            let (factor, unit, digits_max) = match tail.as_bytes() {
                [b'm', b's', ..] => (1, 2, 8),
                [b's', ..] => (1_000, 1, 8),
                [b'm', ..] => (60_000, 1, 8),
                [b'h', ..] => (3_600_000, 1, 4),
                _ => return None,
            };
            let number = digits(number).filter(|_| number.len() <= digits_max)?;
            total = total.checked_add(u64::from(number) * factor)?;
            rest = tail.get(unit..)?;
        }
        Some(Self(total))
    }

    /// In milliseconds.
    pub fn millis(self) -> u64 {
        self.0
    }
}

/// An amount of CPU in thousandths of a core: `100m`, `0.5`, `2`. None for anything else and for more than 1000 cores.
pub fn cpu_millis(value: &IntOrString) -> Option<u32> {
    let text = match value {
        IntOrString::Int(cores) => {
            let cores = u32::try_from(*cores)
                .ok()
                .filter(|cores| *cores <= CPU_CORES_MAX)?;
            return Some(cores * 1000);
        }
        IntOrString::String(text) => text,
    };
    if let Some(millis) = text.strip_suffix('m') {
        return digits(millis).filter(|_| millis.len() <= 6);
    }
    let (whole, decimals) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None if text == "1000" => return Some(CPU_CORES_MAX * 1000),
        None => (text.as_str(), ""),
    };
    if whole.len() > 3 || decimals.len() > 3 {
        return None;
    }
    Some(digits(whole)? * 1000 + digits(&format!("{decimals:0<3}"))?)
}

/// An amount of memory in bytes: a whole number that is not 0, of at most 15 digits, with Ki, Mi, Gi, Ti, Pi, Ei, k, M,
/// G, T, P, E or nothing behind it. None for anything else.
pub fn memory_bytes(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u128 = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "P" => 1_000_000_000_000_000,
        "E" => 1_000_000_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        "Ei" => 1 << 60,
        _ => return None,
    };
    let plain = !number.starts_with('0') && number.len() <= 15;
    let number: u64 = number.parse().ok().filter(|_| plain)?;
    Some(u128::from(number) * factor)
}

/// The remote write URL of a workspace of Amazon Managed Prometheus, taken apart:
/// `https://HOST[:PORT]/workspaces/ws-ID/api/v1/remote_write`. Which hosts are Amazon's is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkspaceUrl<'u> {
    /// Scheme, host and port as written.
    pub origin: &'u str,
    /// False for `http`.
    pub is_https: bool,
    /// Letters, digits, hyphens and dots, as written.
    pub host: &'u str,
    /// Up to five digits, as written.
    pub port: Option<&'u str>,
    /// `ws-` and 1 to 61 letters, digits and hyphens.
    pub workspace: &'u str,
}

impl<'u> WorkspaceUrl<'u> {
    /// None for anything else, and for more than 512 bytes.
    pub fn parse(url: &'u str) -> Option<Self> {
        let (is_https, rest) = match url.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, url.strip_prefix("http://")?),
        };
        let (authority, path) = rest.split_at(rest.find('/')?);
        let workspace = path
            .strip_prefix("/workspaces/")?
            .strip_suffix("/api/v1/remote_write")?;
        let id = workspace.strip_prefix("ws-")?;
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let holds = url.len() <= WORKSPACE_URL_LENGTH_MAX
            && !host.is_empty()
            && host.bytes().all(is_host)
            && port.is_none_or(|port| digits(port).is_some() && port.len() <= 5)
            && (1..=61).contains(&id.len())
            && id.bytes().all(is_id);
        holds.then_some(Self {
            origin: url.strip_suffix(path)?,
            is_https,
            host,
            port,
            workspace,
        })
    }
}

/// A number of ASCII digits, at least one, at most nine.
fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}
