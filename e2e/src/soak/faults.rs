//! What breaks, and how it is broken and repaired.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tempfile::TempDir;

use crate::clock;
use crate::collector::Start;
use crate::fake_aws::{self, FakeAws};
use crate::fake_sts::{self, KeyServer, TestIssuer};
use crate::fake_xray::{Credentials, TestTls, Verifier};
use crate::soak::door::{Door, Way};

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const AUDIENCE: &str = "sts.amazonaws.com";
const ACCOUNT: &str = "111122223333";
const ROLE: &str = "arn:aws:iam::111122223333:role/xray-writer";
const REGION: &str = "eu-west-1";
const SERVICE_ACCOUNT: (&str, &str) = ("tracing", "otel-collector-collector");
/// The name of X-Ray where names are at stake.
const NAME: &str = "xray.soak.test";
/// Sessions that end while it is broken.
const SESSION_SECONDS: u64 = 15;

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens.
    Gone,
    /// The same, with more spans than the queue holds.
    GoneAndFull,
    /// Connections are taken, and nothing comes back.
    Hanging,
    /// Documents are stored, and the answer breaks off.
    HalfReplies,
    /// The certificate is of another authority.
    OtherAuthority,
    /// The token file is cut off, then empty, then gone; in the end there is another token. Sessions are short.
    TokenFile,
    /// STS answers 503. Sessions are short.
    StsDown,
    /// X-Ray says of all credentials that they have expired.
    Expired,
    /// The name of X-Ray is not found.
    NoName,
}

/// All of them.
pub const FAULTS: [Fault; 9] = [
    Fault::Gone,
    Fault::GoneAndFull,
    Fault::Hanging,
    Fault::HalfReplies,
    Fault::OtherAuthority,
    Fault::TokenFile,
    Fault::StsDown,
    Fault::Expired,
    Fault::NoName,
];

impl Fault {
    /// For the report and the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::GoneAndFull => "gone-and-full",
            Self::Hanging => "hanging",
            Self::HalfReplies => "half-replies",
            Self::OtherAuthority => "other-authority",
            Self::TokenFile => "token-file",
            Self::StsDown => "sts-down",
            Self::Expired => "expired",
            Self::NoName => "no-name",
        }
    }

    /// Why it cannot be made on this machine.
    pub fn impossible(self) -> Option<&'static str> {
        let needs_namespace = self == Self::NoName;
        let tried = || {
            let status = Command::new("unshare").args(["--mount", "true"]).output();
            status.is_ok_and(|output| output.status.success())
        };
        (needs_namespace && !tried()).then_some("a mount namespace needs root and util-linux's unshare")
    }

    fn is_plain(self) -> bool {
        // Sixty bytes of an answer under TLS would be an incomplete record.
        self == Self::HalfReplies
    }
}

/// An AWS, a door before its X-Ray, and what the pod of a collector has in its files.
pub struct World {
    fault: Fault,
    aws: FakeAws,
    /// Of another authority.
    stranger: FakeAws,
    door: Door,
    issuer: TestIssuer,
    folder: TempDir,
    _keys: KeyServer,
}

impl World {
    /// Everything works.
    ///
    /// # Errors
    /// When something cannot be made.
    pub async fn new(fault: Fault) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let issuer = TestIssuer::new(ISSUER, "key-1")?;
        let keys = KeyServer::start(vec![issuer.jwk()], None).await?;
        let aws = |tls: Option<TestTls>| {
            let source = keys.source();
            async {
                let sts = fake_sts::Options {
                    account: ACCOUNT.into(),
                    region: REGION.into(),
                    issuer: ISSUER.into(),
                    audiences: vec![AUDIENCE.into()],
                    keys: source?,
                };
                let options = fake_aws::Options {
                    sts,
                    tls,
                    listen: None,
                    control: None,
                };
                anyhow::Ok(FakeAws::start(options).await?)
            }
        };
        let tls = TestTls::new(&[NAME])?;
        std::fs::write(folder.path().join("ca.pem"), tls.ca_pem())?;
        let stranger = aws(Some(TestTls::new(&[NAME])?)).await?;
        let aws = aws((!fault.is_plain()).then_some(tls)).await?;
        aws.sts().set_role(ROLE, &trust()).map_err(anyhow::Error::msg)?;
        if matches!(fault, Fault::TokenFile | Fault::StsDown) {
            aws.sts().set_session_seconds(Some(SESSION_SECONDS));
        }
        let world = Self {
            door: Door::start(aws.address()).await?,
            fault,
            aws,
            stranger,
            issuer,
            folder,
            _keys: keys,
        };
        world.write_token()?;
        world.write_hosts(true)?;
        std::fs::write(
            world.path("resolv.conf"),
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        )?;
        Ok(world)
    }

    /// The fakes.
    pub fn aws(&self) -> &FakeAws {
        &self.aws
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_token(&self) -> anyhow::Result<()> {
        let claims = self.issuer.claims(SERVICE_ACCOUNT, AUDIENCE);
        std::fs::write(self.path("token"), self.issuer.sign(&claims)?)?;
        Ok(())
    }

    /// In place: the file is mounted.
    fn write_hosts(&self, has_name: bool) -> std::io::Result<()> {
        let name = if has_name { NAME } else { "" };
        std::fs::write(self.path("hosts"), format!("127.0.0.1 localhost {name}\n"))
    }

    /// The collector's start: credentials by the token, X-Ray behind the door.
    ///
    /// # Errors
    /// When its start script cannot be written.
    pub fn start(&self, start: Start) -> anyhow::Result<Start> {
        let scheme = if self.fault.is_plain() { "http" } else { "https" };
        let host = if self.fault == Fault::NoName {
            NAME
        } else {
            "localhost"
        };
        let port = self.door.address().port();
        let text = |path: PathBuf| path.display().to_string();
        let mut start = start
            .env("AWS_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ROLE_ARN", ROLE)
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", text(self.path("token")))
            .env("AWS_ENDPOINT_URL_STS", self.aws.url())
            .env("AWS_ENDPOINT_URL_XRAY", format!("{scheme}://{host}:{port}"))
            .env("SSL_CERT_FILE", text(self.path("ca.pem")))
            .set(format!("exporters.awsxray.region={REGION}"));
        if self.fault == Fault::NoName {
            let binary = start.binary.clone().context("no binary is named")?;
            start.binary = Some(self.namespace_script(&binary)?);
        }
        Ok(start)
    }

    /// A script that becomes the collector, with names of its own: `/etc/hosts` and `/etc/resolv.conf` of nobody else.
    fn namespace_script(&self, binary: &std::path::Path) -> anyhow::Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let script = self.path("start.sh");
        let binary = binary.canonicalize()?;
        std::fs::write(
            &script,
            format!(
                "#!/bin/sh\nexec unshare --mount --propagation private sh -c 'mount --bind \"$1\" /etc/hosts && \
                 mount --bind \"$2\" /etc/resolv.conf && shift 2 && exec \"$@\"' sh '{}' '{}' '{}' \"$@\"\n",
                self.path("hosts").display(),
                self.path("resolv.conf").display(),
                binary.display()
            ),
        )?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        Ok(script)
    }

    /// Breaks it; called again every second until it is repaired, with the time since.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn worsen(&self, since: Duration, length: Duration) -> anyhow::Result<()> {
        let first = since.is_zero();
        let way = |way| {
            if first {
                self.door.set(way);
            }
        };
        match self.fault {
            Fault::Gone | Fault::GoneAndFull => way(Way::Gone),
            Fault::Hanging => way(Way::Hang),
            Fault::HalfReplies => way(Way::Half(self.aws.address())),
            Fault::OtherAuthority => way(Way::Open(self.stranger.address())),
            Fault::NoName => {
                if first {
                    self.write_hosts(false)?;
                }
                // Names are only asked for when a connection is made: it ends those there are.
                way(Way::Open(self.aws.address()));
            }
            Fault::StsDown => self.aws.sts().set_script(Some(fake_sts::Script {
                calls: None,
                status: 503,
                code: "ServiceUnavailable".into(),
            })),
            Fault::TokenFile => self.spoil_token(since.as_secs_f64() / length.as_secs_f64())?,
            Fault::Expired => {
                let now = clock::wall();
                let expire = |key: Credentials| Credentials {
                    expires: Some(now),
                    ..key
                };
                let issued = self.aws.sts().issued().into_iter().map(expire);
                self.aws.xray().set_verifier(verifier(issued.collect()));
            }
        }
        Ok(())
    }

    fn spoil_token(&self, part: f64) -> anyhow::Result<()> {
        let path = self.path("token");
        if part > 0.66 {
            if path.exists() {
                std::fs::remove_file(path)?;
            }
        } else if part > 0.33 {
            std::fs::write(path, "")?;
        } else if part == 0.0 {
            let whole = std::fs::read(&path)?;
            std::fs::write(path, whole.get(..whole.len() / 2).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Repairs it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn repair(&self) -> anyhow::Result<()> {
        match self.fault {
            Fault::TokenFile => self.write_token()?,
            Fault::StsDown => self.aws.sts().set_script(None),
            Fault::NoName => self.write_hosts(true)?,
            // Sessions that are given from now on are good.
            Fault::Expired => {}
            Fault::Gone
            | Fault::GoneAndFull
            | Fault::Hanging
            | Fault::HalfReplies
            | Fault::OtherAuthority => self.door.set(Way::Open(self.aws.address())),
        }
        Ok(())
    }

    /// Nothing has come to where it must not.
    ///
    /// # Errors
    /// When it has.
    pub fn check(&self) -> anyhow::Result<()> {
        let counts = self.stranger.xray().counts();
        ensure!(
            counts.requests == 0,
            "an X-Ray of another authority was talked to"
        );
        // A probe whose answer breaks off is stored and sent again, for minutes: the fake counts each time by the size of
        // its trace, which has a bound.
        let is_repeated =
            |message: &str| self.fault == Fault::HalfReplies && message.starts_with("Trace Size Exceeded");
        let refused = self.aws.xray().refused();
        let wrong = refused.iter().find(|refused| !is_repeated(&refused.message));
        ensure!(
            wrong.is_none(),
            "the fake X-Ray has refused a document: {wrong:?}"
        );
        let counts = self.aws.xray().counts();
        ensure!(
            counts.invalid == 0,
            "the fake X-Ray has refused calls: {counts:?}"
        );
        Ok(())
    }
}

fn verifier(credentials: Vec<Credentials>) -> Verifier {
    Verifier {
        credentials,
        region: Some(REGION.into()),
        service: "xray".into(),
    }
}

/// The trust policy of a role of the collectors.
fn trust() -> serde_json::Value {
    let provider = ISSUER.trim_start_matches("https://");
    let (namespace, name) = SERVICE_ACCOUNT;
    let mut equals = serde_json::Map::new();
    equals.insert(
        format!("{provider}:sub"),
        json!(format!("system:serviceaccount:{namespace}:{name}")),
    );
    equals.insert(format!("{provider}:aud"), json!(AUDIENCE));
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{provider}")},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": equals},
        }],
    })
}
