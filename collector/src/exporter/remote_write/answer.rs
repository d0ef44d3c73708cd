//! What an answer of the receiver means: the table of the design's page on remote write.

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::reason::Reject;
use super::transport::Answer;
use crate::exporter::aws::codes;

/// What to do about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is written.
    Taken,
    /// Something in it is wrong: halves of it may be taken.
    Wrong(Reject),
    /// It is too large: halves of it may be taken.
    TooLarge,
    /// There are too many; again after a pause, of at least so long.
    Throttled(Option<Duration>),
    /// Who sends it is not known, or may not; again with new credentials, then after pauses.
    Denied,
    /// Again after a pause, of at least so long.
    Later(&'static str, Option<Duration>),
    /// The answer will always be the same.
    Refused,
}

// === impl Verdict ===

impl Verdict {
    /// What an answer that came at `here`, by this node's clock, means.
    pub(super) fn of(answer: &Answer, here: SystemTime) -> Self {
        let pause = || {
            let text = answer.retry_after.as_deref()?;
            pause(text, answer.date.unwrap_or(here))
        };
        let code = answer.code.as_str();
        match answer.status {
            200..=299 => Self::Taken,
            // Some of AWS's services say so with 400.
            400..=403 if codes::is_of_credentials(code) || codes::is_of_time(code) => Self::Denied,
            429 => Self::Throttled(pause()),
            _ if codes::is_of_load(code) => Self::Throttled(pause()),
            // Thanos says 409 of samples out of order, others 422 of what they cannot take.
            400 | 409 | 422 => Self::Wrong(Reject::of(&answer.body)),
            401 | 403 => Self::Denied,
            // A wrong address is repaired, or its workspace is made, within the age limit.
            404 => Self::Later("not_found", pause()),
            // The proxy on the way says so; the receiver has not seen the request.
            407 => Self::Later("proxy_denied", pause()),
            408 => Self::Later("timeout", pause()),
            413 => Self::TooLarge,
            // A wrong address, too: requests are never redirected, which would break their signature.
            300..=399 => Self::Later("redirected", pause()),
            402 | 405 | 406 | 410..=412 | 414..=421 | 423..=428 | 430..=499 => Self::Refused,
            0..=199 | 500..=u16::MAX => Self::Later("server_error", pause()),
        }
    }

    /// The label of the failure in metrics; none of a success.
    pub(super) fn label(self) -> Option<&'static str> {
        match self {
            Self::Taken => None,
            Self::Wrong(_) => Some("rejected"),
            Self::TooLarge => Some("too_large"),
            Self::Throttled(_) => Some("throttled"),
            Self::Denied => Some("denied"),
            Self::Later(reason, _) => Some(reason),
            Self::Refused => Some("refused"),
        }
    }
}

/// The value of `Retry-After`: seconds, or a date, which is counted from `from`.
fn pause(text: &str, from: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::from_str(text, Format::HttpDate).ok()?;
    let date = SystemTime::try_from(date).ok()?;
    Some(date.duration_since(from).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::exporter::remote_write::account::RemoteWriteAccount;
    use crate::exporter::remote_write::transport::Fault;

    fn answer(status: u16, code: &str, retry_after: Option<&str>) -> Answer {
        Answer {
            status,
            code: code.to_owned(),
            retry_after: retry_after.map(str::to_owned),
            date: None,
            is_signed_off: false,
            body: Vec::new(),
        }
    }

    fn verdict(status: u16) -> Verdict {
        Verdict::of(&answer(status, "", None), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn each_status_means_what_the_table_says() {
        for status in [200, 202, 204, 299] {
            assert_eq!(verdict(status), Verdict::Taken);
        }
        for status in [400, 409, 422] {
            assert_eq!(verdict(status), Verdict::Wrong(Reject::Other), "{status}");
        }
        for status in [401, 403] {
            assert_eq!(verdict(status), Verdict::Denied);
        }
        assert_eq!(verdict(413), Verdict::TooLarge);
        assert_eq!(verdict(429), Verdict::Throttled(None));
        for status in [301, 307, 404, 407, 408, 500, 501, 502, 503, 504, 599, 600, 199] {
            assert!(matches!(verdict(status), Verdict::Later(_, None)), "{status}");
        }
        for status in [
            402, 405, 406, 410, 411, 412, 414, 415, 421, 423, 428, 431, 451, 499,
        ] {
            assert_eq!(verdict(status), Verdict::Refused, "{status}");
        }
    }

    #[test]
    fn what_aws_says_of_credentials_and_of_load_counts_more_than_the_status() {
        for (status, code, expected) in [
            (400, "ExpiredTokenException", Verdict::Denied),
            (400, "RequestExpired", Verdict::Denied),
            (403, "InvalidSignatureException", Verdict::Denied),
            (400, "ThrottlingException", Verdict::Throttled(None)),
            (503, "SlowDown", Verdict::Throttled(None)),
            (400, "ValidationException", Verdict::Wrong(Reject::Other)),
        ] {
            let verdict = Verdict::of(&answer(status, code, None), SystemTime::UNIX_EPOCH);
            assert_eq!(verdict, expected, "{status} {code}");
        }
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_by_a_date() {
        let date = |text: &str| {
            let date = DateTime::from_str(text, Format::HttpDate).unwrap();
            SystemTime::try_from(date).unwrap()
        };
        let here = date("Sun, 22 Nov 2026 07:00:00 GMT");
        let asked = |text: &str, theirs: Option<SystemTime>| {
            let answer = Answer {
                date: theirs,
                ..answer(429, "", Some(text))
            };
            let Verdict::Throttled(pause) = Verdict::of(&answer, here) else {
                panic!("{answer:?}");
            };
            pause
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(asked("120", None), seconds(120));
        assert_eq!(asked(" 0 ", None), seconds(0));
        assert_eq!(asked("Sun, 22 Nov 2026 07:02:00 GMT", None), seconds(120));
        assert_eq!(asked("Sun, 22 Nov 2026 06:00:00 GMT", None), seconds(0), "past");
        // By the clock of who says it, where that is known: ours may be an hour off.
        let theirs = date("Sun, 22 Nov 2026 08:00:00 GMT");
        assert_eq!(asked("Sun, 22 Nov 2026 08:00:30 GMT", Some(theirs)), seconds(30));
        for nonsense in ["", "soon", "-1", "1.5", "Sun"] {
            assert_eq!(asked(nonsense, None), None, "{nonsense:?}");
        }
        let unavailable = answer(503, "", Some("7"));
        assert_eq!(
            Verdict::of(&unavailable, here),
            Verdict::Later("server_error", seconds(7))
        );
    }

    /// The fault behind this one, in an order that has them all.
    fn next_fault(fault: &Fault) -> Option<Fault> {
        match fault {
            Fault::Timeout { .. } => Some(Fault::Connection {
                cause: String::new(),
                is_out: false,
            }),
            Fault::Connection { .. } => Some(Fault::Credentials(String::new())),
            Fault::Credentials(_) => None,
        }
    }

    #[test]
    fn whatever_fails_the_operator_knows_the_word_for_it() {
        let mut said = BTreeSet::new();
        let mut hear = |tell: &dyn Fn(&mut RemoteWriteAccount)| {
            let mut account = RemoteWriteAccount::default();
            tell(&mut account);
            said.extend(account.failing.map(|failing| failing.reason));
        };
        for status in 0..1000 {
            for code in [
                "",
                "AccessDeniedException",
                "RequestExpired",
                "ThrottlingException",
            ] {
                let verdict = Verdict::of(&answer(status, code, None), SystemTime::UNIX_EPOCH);
                hear(&|account| account.answered(status, code, verdict));
            }
        }
        let mut fault = Some(Fault::Timeout { is_out: false });
        while let Some(this) = fault {
            hear(&|account| account.fail(this.label(), ""));
            fault = next_fault(&this);
        }
        // The operator's test says what each means to a user.
        let lines = include_str!("../../../../operator/testdata/failing.txt").lines();
        let words = lines.filter(|line| !line.starts_with('#'));
        let known: BTreeSet<&str> = words.map(|line| line.split_once(' ').unwrap().0).collect();
        assert_eq!(said, known);
    }
}
