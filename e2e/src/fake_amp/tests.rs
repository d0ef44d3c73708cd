use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::{Failure, FakeAmp, Limits, OnBad, Options, Poison, Reason, Script};
use crate::clock;
use crate::fake_xray::{Credentials, When, sigv4};
use crate::http_get::{http_get, http_request};
use crate::remote_write::{Histogram, Sample, TimeSeries, WriteRequest};
use crate::snappy;

fn key() -> Credentials {
    Credentials {
        session_token: Some("session".into()),
        ..Credentials::new("AKIATEST", "secret")
    }
}

async fn fake(adjust: impl FnOnce(&mut Options)) -> FakeAmp {
    let mut options = Options::new(key());
    adjust(&mut options);
    FakeAmp::start(options).await.unwrap()
}

fn now() -> i64 {
    (clock::unix_nanos() / 1_000_000).cast_signed()
}

fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    TimeSeries {
        labels: labels.iter().map(owned).collect(),
        samples: samples
            .iter()
            .map(|(timestamp, value)| Sample {
                bits: value.to_bits(),
                timestamp: *timestamp,
            })
            .collect(),
        ..TimeSeries::default()
    }
}

fn named(name: &str, samples: &[(i64, f64)]) -> TimeSeries {
    series(&[("__name__", name), ("job", "x")], samples)
}

fn write(series: Vec<TimeSeries>) -> WriteRequest {
    WriteRequest {
        series,
        metadata: Vec::new(),
    }
}

/// Status, message and `Retry-After`.
type Answer = (StatusCode, String, Option<String>);

async fn send(fake: &FakeAmp, request: &WriteRequest) -> anyhow::Result<Answer> {
    send_bytes(fake, snappy::encode(&request.encode()), |_| {}).await
}

async fn send_bytes(
    fake: &FakeAmp,
    body: Vec<u8>,
    change: impl FnOnce(&mut http::request::Parts),
) -> anyhow::Result<Answer> {
    let request = Request::post(fake.url())
        .header("content-encoding", "snappy")
        .header("content-type", "application/x-protobuf")
        .header("user-agent", "test/1")
        .header("x-prometheus-remote-write-version", "0.1.0");
    let mut parts = request.body(())?.into_parts().0;
    change(&mut parts);
    sigv4::sign(&mut parts, &body, &key(), ("us-east-1", "aps"), clock::wall())?;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client
        .request(Request::from_parts(parts, Full::new(body.into())))
        .await?;
    let (parts, body) = answer.into_parts();
    let body: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    let text = body["message"].as_str().unwrap_or_default().to_owned();
    let after = parts
        .headers
        .get("retry-after")
        .map(|it| it.to_str().unwrap().to_owned());
    Ok((parts.status, text, after))
}

async fn status(fake: &FakeAmp, series: Vec<TimeSeries>) -> StatusCode {
    send(fake, &write(series)).await.unwrap().0
}

/// The code of the reason for which a sample is refused.
async fn refusal(fake: &FakeAmp, series: TimeSeries) -> String {
    let (status, text, _) = send(fake, &write(vec![series])).await.unwrap();
    assert!(status == 400 || status == 429, "{status} {text}");
    text.split(':').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn what_is_written_is_there() {
    let fake = fake(|_| {}).await;
    let now = now();
    let request = write(vec![
        named("a", &[(now - 5, 1.0), (now, 2.0)]),
        named("b", &[(now, f64::NAN)]),
    ]);
    assert_eq!(send(&fake, &request).await.unwrap().0, 200);
    let held = fake.series();
    let of_a: Vec<_> = held[&request.series[0].labels].samples.iter().collect();
    assert_eq!(
        of_a,
        [(&(now - 5), &1.0_f64.to_bits()), (&now, &2.0_f64.to_bits())]
    );
    let counts = fake.counts();
    assert_eq!(
        (counts.writes, counts.samples, counts.samples_repeated),
        (1, 3, 0)
    );
    assert_eq!(send(&fake, &request).await.unwrap().0, 200);
    assert_eq!(fake.counts().samples_repeated, 3);
    assert_eq!(fake.refused(), []);
}

#[tokio::test]
async fn who_does_not_sign_may_not_write() {
    let fake = fake(|_| {}).await;
    let (status, text) = http_request(&fake.url(), http::Method::POST, "").await.unwrap();
    assert_eq!(status, 403);
    assert!(text.contains("Missing Authentication Token"), "{text}");
    let body = snappy::encode(&write(vec![named("a", &[(now(), 1.0)])]).encode());
    fake.set_verifier(sigv4::Verifier {
        credentials: vec![Credentials {
            expires: Some(clock::wall()),
            ..key()
        }],
        region: None,
        service: "aps".into(),
    });
    let (status, text, _) = send_bytes(&fake, body, |_| {}).await.unwrap();
    assert_eq!(status, 403);
    assert!(text.contains("expired"), "{text}");
    assert_eq!(fake.counts().denied, 2);
}

#[tokio::test]
async fn what_is_no_remote_write_is_refused_whole() {
    let fake = fake(|_| {}).await;
    let good = snappy::encode(&write(vec![named("a", &[(now(), 1.0)])]).encode());
    for (body, header) in [
        (b"no snappy".to_vec(), None),
        (snappy::encode(b"no protobuf"), None),
        (snappy::encode(b""), None),
        (good.clone(), Some(("content-encoding", "gzip"))),
        (good.clone(), Some(("x-prometheus-remote-write-version", "2.0.0"))),
        (good.clone(), Some(("x-scope-orgid", "1"))),
    ] {
        let change = |parts: &mut http::request::Parts| {
            if let Some((name, value)) = header {
                parts.headers.insert(name, value.parse().unwrap());
            }
        };
        assert_eq!(
            send_bytes(&fake, body, change).await.unwrap().0,
            400,
            "{header:?}"
        );
    }
    assert_eq!(fake.counts().invalid, 6);
    assert!(fake.series().is_empty());
}

#[tokio::test]
async fn labels_have_rules() {
    let fake = fake(|_| {}).await;
    let now = now();
    let long = "x".repeat(2049);
    for (labels, code) in [
        (&[("job", "x")][..], "missing_metric_name"),
        (&[("__name__", "a.b")], "metric_name_invalid"),
        (&[("__name__", "1a")], "metric_name_invalid"),
        (&[("__name__", "a"), ("b-c", "x")], "label_invalid"),
        (&[("__name__", "a"), ("b:c", "x")], "label_invalid"),
        (&[("__name__", "a"), ("b", "")], "label_invalid"),
        (
            &[("__name__", "a"), ("b", "1"), ("b", "2")],
            "duplicate_label_names",
        ),
        (&[("b", "1"), ("__name__", "a")], "labels_not_sorted"),
        (&[("__name__", "a"), ("b", &long)], "label_value_too_long"),
    ] {
        assert_eq!(
            refusal(&fake, series(labels, &[(now, 1.0)])).await,
            code,
            "{labels:?}"
        );
    }
    let names: Vec<String> = (10..80).map(|number| format!("l{number}")).collect();
    let mut many = vec![("__name__", "a")];
    many.extend(names.iter().map(|name| (name.as_str(), "x")));
    assert_eq!(
        refusal(&fake, series(&many, &[(now, 1.0)])).await,
        "max_label_names_per_series"
    );
    assert_eq!(status(&fake, vec![named("a:b", &[(now, 1.0)])]).await, 200);
}

#[tokio::test]
async fn samples_have_an_order_and_an_age() {
    let fake = fake(|_| {}).await;
    let now = now();
    assert_eq!(status(&fake, vec![named("a", &[(now, 1.0)])]).await, 200);
    let at = |back: i64, value| named("a", &[(now - back, value)]);
    assert_eq!(refusal(&fake, at(0, 2.0)).await, "new-value-for-timestamp");
    assert_eq!(refusal(&fake, at(60_001, 2.0)).await, "sample-too-old");
    assert_eq!(
        refusal(&fake, at(3_700_000, 2.0)).await,
        "greater_than_max_sample_age"
    );
    assert_eq!(refusal(&fake, at(-700_000, 2.0)).await, "too_far_in_future");
    assert_eq!(status(&fake, vec![at(59_000, 2.0)]).await, 200);
    assert_eq!(fake.counts().samples_out_of_order, 1);
    fake.set_limits(Limits {
        out_of_order_window: Duration::ZERO,
        ..Limits::default()
    });
    assert_eq!(refusal(&fake, at(1, 2.0)).await, "sample-out-of-order");
    let twice = vec![at(-1, 3.0), at(-2, 3.0)];
    let (_, text, _) = send(&fake, &write(twice)).await.unwrap();
    assert!(text.starts_with("duplicate_series"), "{text}");
}

#[tokio::test]
async fn histograms_have_rules() {
    let fake = fake(|_| {}).await;
    let good = Histogram {
        count_int: Some(3),
        schema: 8,
        zero_count_int: Some(1),
        positive_spans: vec![(0, 1)],
        positive_deltas: vec![2],
        timestamp: now(),
        ..Histogram::default()
    };
    let with = |histogram: Histogram| {
        let mut series = named("h", &[]);
        series.histograms.push(histogram);
        series
    };
    let fine = Histogram {
        schema: 9,
        ..good.clone()
    };
    assert_eq!(
        refusal(&fake, with(fine)).await,
        "native_histogram_invalid_schema"
    );
    let wrong = Histogram {
        count_int: Some(2),
        ..good.clone()
    };
    assert_eq!(refusal(&fake, with(wrong)).await, "native_histogram_invalid");
    fake.set_limits(Limits {
        native_buckets: 0,
        ..Limits::default()
    });
    assert_eq!(
        refusal(&fake, with(good.clone())).await,
        "native_histogram_buckets_exceeded"
    );
    fake.set_limits(Limits::default());
    assert_eq!(status(&fake, vec![with(good)]).await, 200);
    assert_eq!(fake.counts().histograms, 1);
    assert_eq!(refusal(&fake, named("nothing", &[])).await, "no_one_kind");
}

#[tokio::test]
async fn one_bad_sample_takes_the_others_with_it_or_not() {
    for (on_bad, kept) in [(OnBad::RejectRequest, 0), (OnBad::KeepGood, 2)] {
        let fake = fake(|options| options.on_bad = on_bad).await;
        let now = now();
        let bad = Poison {
            label: "__name__".into(),
            value: "bad".into(),
            reason: Reason::LabelInvalid,
        };
        fake.set_poison(vec![bad]);
        let all = ["a", "bad", "c"].map(|name| named(name, &[(now, 1.0)]));
        assert_eq!(status(&fake, all.to_vec()).await, 400);
        assert_eq!(fake.series().len(), kept, "{on_bad:?}");
        let counts = fake.counts();
        assert_eq!((counts.samples, counts.samples_refused), (kept as u64, 1));
        // What is not bad may come again.
        assert_eq!(status(&fake, vec![named("a", &[(now, 1.0)])]).await, 200);
    }
}

#[tokio::test]
async fn there_are_limits_of_rate_size_and_number() {
    let fake = fake(|_| {}).await;
    let now = now();
    let some = |name: &str| named(name, &[(now - 2, 1.0), (now - 1, 1.0), (now, 1.0)]);
    fake.set_limits(Limits {
        rate: Some((1, 4)),
        ..Limits::default()
    });
    assert_eq!(status(&fake, vec![some("a")]).await, 200);
    let (status_of_b, text, _) = send(&fake, &write(vec![some("b")])).await.unwrap();
    assert_eq!((status_of_b.as_u16(), fake.counts().over_rate), (429, 1));
    assert!(text.contains("ingestion rate limit (1) exceeded"), "{text}");
    fake.set_limits(Limits {
        series: 1,
        ..Limits::default()
    });
    assert_eq!(refusal(&fake, some("b")).await, "per_user_series_limit");
    fake.set_limits(Limits {
        request_bytes: 30,
        ..Limits::default()
    });
    assert_eq!(status(&fake, vec![some("b")]).await, 413);
    assert_eq!(fake.counts().too_large, 1);
}

#[tokio::test]
async fn requests_fail_as_the_script_says() {
    let fake = fake(|_| {}).await;
    let request = write(vec![named("a", &[(now(), 1.0)])]);
    let play = |failure| {
        fake.set_script(Some(Script {
            when: When::Next(1),
            failure,
        }));
    };
    play(Failure::Status {
        status: 429,
        retry_after: Some("3".into()),
    });
    let (status, text, after) = send(&fake, &request).await.unwrap();
    assert_eq!(
        (status.as_u16(), text.as_str(), after.as_deref()),
        (429, "Rate exceeded", Some("3"))
    );
    for failure in [Failure::Close, Failure::CloseEarly] {
        play(failure);
        assert!(send(&fake, &request).await.is_err());
    }
    assert!(fake.series().is_empty());
    play(Failure::LoseAnswer);
    assert!(send(&fake, &request).await.is_err());
    assert_eq!(fake.series().len(), 1);
    play(Failure::Hang);
    let hung = tokio::time::timeout(Duration::from_millis(300), send(&fake, &request)).await;
    assert!(hung.is_err());
    assert_eq!(send(&fake, &request).await.unwrap().0, 200);
    assert_eq!((fake.counts().scripted, fake.counts().samples_repeated), (5, 1));
}

#[tokio::test]
async fn its_clock_may_be_wrong() {
    let fake = fake(|_| {}).await;
    fake.set_seconds_ahead(3600);
    assert_eq!(status(&fake, vec![named("a", &[(now(), 1.0)])]).await, 403);
}

#[tokio::test]
async fn another_process_steers_it_by_its_port() {
    let fake = fake(|_| {}).await;
    let at = |path: &str| format!("http://{}/_fake/amp/{path}", fake.address());
    let post = |path: &str, body: &str| {
        let (url, body) = (at(path), body.to_owned());
        async move { http_request(&url, http::Method::POST, &body).await.unwrap().0 }
    };
    let script = r#"{"when":{"next":1},"failure":{"status":{"status":503,"retry_after":null}}}"#;
    assert_eq!(post("failure", script).await, 200);
    let request = write(vec![named("a", &[(now(), 1.5)])]);
    assert_eq!(send(&fake, &request).await.unwrap().0, 503);
    assert_eq!(
        post(
            "poison",
            r#"[{"label":"job","value":"x","reason":"sample_too_old"}]"#
        )
        .await,
        200
    );
    assert_eq!(send(&fake, &request).await.unwrap().0, 400);
    assert_eq!(post("poison", "[]").await, 200);
    assert_eq!(send(&fake, &request).await.unwrap().0, 200);
    let (_, lines) = http_get(fake.address(), "/_fake/amp/series").await.unwrap();
    let line: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(
        (&line["labels"]["job"], &line["samples"][0][1]),
        (&Value::from("x"), &Value::from(1.5))
    );
    let (_, refused) = http_get(fake.address(), "/_fake/amp/refused").await.unwrap();
    assert!(refused.contains("sample_too_old"), "{refused}");
    let (_, counts) = http_get(fake.address(), "/_fake/amp/counts").await.unwrap();
    assert!(counts.contains("\"writes\":1"), "{counts}");
}
