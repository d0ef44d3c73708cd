//! What X-Ray is told, in virtual time.

use std::sync::{Arc, Mutex};

use aws_config::provider_config::ProviderConfig;
use aws_smithy_runtime_api::client::http::HttpClient;
use aws_smithy_runtime_api::client::result::ConnectorError;
use serde_json::{Value, json};
use tokio::task::LocalSet;

use super::super::client::tests::{Cloud, client, here, response, settings};
use super::*;

/// The requests of each minute.
type Seen = Arc<Mutex<Vec<Value>>>;

/// A queue, its telemetry, and X-Ray, which takes a request when `takes` says so of its number.
fn world(
    metadata: Option<XrayMetadata>,
    takes: impl Fn(u64) -> bool + Send + Sync + 'static,
) -> (Cloud, Seen, XrayTelemetrySettings) {
    let seen: Seen = Arc::default();
    let of_cloud = Arc::clone(&seen);
    let cloud = Cloud::that_may_fail(move |request, number| {
        assert_eq!(
            request.uri(),
            "https://xray.eu-west-1.amazonaws.com/TelemetryRecords"
        );
        let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let is_taken = takes(number);
        of_cloud.lock().unwrap().push(body);
        Ok(response(if is_taken { 200 } else { 503 }, here(), ""))
    });
    (cloud, seen, XrayTelemetrySettings { metadata })
}

fn story<F: Future<Output = ()>>(story: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async { story().await });
}

fn minutes(minutes: u64) -> Duration {
    INTERVAL * u32::try_from(minutes).unwrap()
}

fn queue() -> SendingQueue {
    SendingQueue::new("awsxray".into(), u64::MAX, u64::MAX)
}

/// How many spans each record of a request says were sent.
fn sent(body: &Value) -> Vec<u64> {
    let records = body["TelemetryRecords"].as_array().unwrap();
    records
        .iter()
        .map(|record| record["SegmentsSentCount"].as_u64().unwrap())
        .collect()
}

#[test]
fn once_a_minute_x_ray_is_told_what_was_counted_if_anything_was() {
    story(|| async {
        let (cloud, seen, telemetry) = world(None, |_| true);
        let client = client(&settings(), &cloud.sdk("eu-west-1")).await.unwrap();
        let telemetry = Telemetry::new(client, &telemetry, None, &|_| None);
        let queue = queue();
        telemetry.start(|| queue.clone());
        tokio::time::sleep(minutes(3)).await;
        assert!(seen.lock().unwrap().is_empty(), "nothing was counted");
        queue.update(|account| {
            account.exported = 7;
            account.waiting = 3;
            account.lost.insert("queue_full", 2);
            account.lost.insert("invalid_segment", 1);
        });
        telemetry.records.errors.borrow_mut().http_4xx = 5;
        tokio::time::sleep(minutes(3)).await;
        // What waited is sent now: it is not received again.
        queue.update(|account| {
            account.exported += 3;
            account.waiting = 0;
        });
        tokio::time::sleep(minutes(3)).await;
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        let without_time = |body: &Value| {
            let mut record = body["TelemetryRecords"][0].clone();
            assert!(record["Timestamp"].as_f64().unwrap() > 1_700_000_000.0);
            record.as_object_mut().unwrap().remove("Timestamp");
            record
        };
        let errors = |count: u64| {
            json!({"TimeoutCount": 0, "ConnectionRefusedCount": 0, "HTTPCode4XXCount": count,
                   "HTTPCode5XXCount": 0, "UnknownHostCount": 0, "OtherCount": 0})
        };
        assert_eq!(
            without_time(&seen[0]),
            json!({"SegmentsReceivedCount": 13, "SegmentsSentCount": 7, "SegmentsSpilloverCount": 2,
                   "SegmentsRejectedCount": 1, "BackendConnectionErrors": errors(5)})
        );
        assert_eq!(
            without_time(&seen[1]),
            json!({"SegmentsReceivedCount": 0, "SegmentsSentCount": 3, "SegmentsSpilloverCount": 0,
                   "SegmentsRejectedCount": 0, "BackendConnectionErrors": errors(0)})
        );
        assert!(seen[0].get("Hostname").is_none() && seen[0].get("EC2InstanceId").is_none());
    });
}

#[test]
fn what_x_ray_does_not_take_goes_again_and_the_oldest_give_way() {
    story(|| async {
        // Gone for 40 minutes, which are 40 calls.
        let (cloud, seen, telemetry) = world(None, |number| number > 40);
        let client = client(&settings(), &cloud.sdk("eu-west-1")).await.unwrap();
        let telemetry = Telemetry::new(client, &telemetry, None, &|_| None);
        let queue = queue();
        telemetry.start(|| queue.clone());
        // Not when a record is made.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for minute in 1..=41 {
            queue.update(|account| account.exported += minute);
            tokio::time::sleep(INTERVAL).await;
        }
        tokio::time::sleep(minutes(5)).await;
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 43, "and no empty request");
        assert_eq!(sent(&seen[0]), [1]);
        // Newest first, ten a request, thirty in all.
        assert_eq!(sent(&seen[40]), (32..=41).collect::<Vec<u64>>());
        assert_eq!(sent(&seen[41]), (22..=31).collect::<Vec<u64>>());
        assert_eq!(sent(&seen[42]), (12..=21).collect::<Vec<u64>>());
    });
}

/// The metadata service of an instance.
fn instance() -> impl HttpClient + 'static {
    Cloud::that_may_fail(|request, _| {
        let text = match request.uri().strip_prefix("http://169.254.169.254") {
            Some("/latest/api/token") => "token",
            Some("/latest/meta-data/hostname") => "ip-10-0-0-1.ec2.internal",
            Some("/latest/meta-data/instance-id") => "i-0123456789abcdef0",
            other => panic!("{other:?}"),
        };
        let mut response = response(200, here(), "");
        *response.body_mut() = text.into();
        response
            .headers_mut()
            .insert("x-aws-ec2-metadata-token-ttl-seconds", "21600");
        Ok(response)
    })
}

#[test]
fn x_ray_is_told_who_sends_by_the_settings_the_environment_or_the_instance() {
    let own = |text: &str| Some(text.to_owned());
    let by_instance = XrayMetadata {
        ask_instance: true,
        ..XrayMetadata::default()
    };
    let by_settings = XrayMetadata {
        hostname: own("h"),
        instance_id: own("i-1"),
        resource_arn: own("arn"),
        ask_instance: true,
    };
    let in_local_mode = XrayMetadata::default();
    let rows = [
        (by_settings, true, json!(["h", "i-1", "arn"])),
        (by_instance.clone(), true, json!(["eh", "ei", null])),
        (
            by_instance,
            false,
            json!(["ip-10-0-0-1.ec2.internal", "i-0123456789abcdef0", null]),
        ),
        (in_local_mode, false, json!([null, null, null])),
    ];
    for (metadata, has_variables, said) in rows {
        story(|| async {
            let (cloud, seen, telemetry) = world(Some(metadata), |_| true);
            let client = client(&settings(), &cloud.sdk("eu-west-1")).await.unwrap();
            let config = ProviderConfig::without_region().with_http_client(instance());
            let imds = imds::Client::builder().configure(&config).build();
            let variable = |name: &str| match name {
                "AWS_HOSTNAME" if has_variables => own("eh"),
                "AWS_INSTANCE_ID" if has_variables => own("ei"),
                _ => None,
            };
            let telemetry = Telemetry::new(client, &telemetry, Some(imds), &variable);
            let queue = queue();
            telemetry.start(|| queue.clone());
            queue.update(|account| account.exported = 1);
            tokio::time::sleep(minutes(2)).await;
            let seen = seen.lock().unwrap();
            let body = &seen[0];
            assert_eq!(
                json!([body["Hostname"], body["EC2InstanceId"], body["ResourceARN"]]),
                said
            );
        });
    }
}

#[test]
fn each_failure_is_counted_as_what_it_was() {
    story(|| async {
        let counted = async |answer: fn(u64) -> Result<u16, ConnectorError>| {
            let cloud = Cloud::that_may_fail(move |_, number| {
                answer(number).map(|status| response(status, here(), ""))
            });
            let client = client(&settings(), &cloud.sdk("eu-west-1")).await.unwrap();
            let put = client.put_trace_segments().trace_segment_documents("{}");
            let error = put.send().await.unwrap_err();
            let mut errors = Errors::default();
            *errors.of(&error) += 1;
            errors
        };
        let one = |change: fn(&mut Errors)| {
            let mut errors = Errors::default();
            change(&mut errors);
            errors
        };
        assert_eq!(counted(|_| Ok(429)).await, one(|errors| errors.http_4xx = 1));
        assert_eq!(counted(|_| Ok(503)).await, one(|errors| errors.http_5xx = 1));
        assert_eq!(counted(|_| Ok(301)).await, one(|errors| errors.other = 1));
        let refused = |_| {
            Err(ConnectorError::io(
                std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into(),
            ))
        };
        assert_eq!(
            counted(refused).await,
            one(|errors| errors.connection_refused = 1)
        );
        let reset = |_| {
            Err(ConnectorError::io(
                std::io::Error::from(std::io::ErrorKind::ConnectionReset).into(),
            ))
        };
        assert_eq!(counted(reset).await, one(|errors| errors.other = 1));
        let late = |_| Err(ConnectorError::timeout("late".into()));
        assert_eq!(counted(late).await, one(|errors| errors.timeout = 1));
        // As the SDK's own client says it.
        let unknown = |_| {
            Err(ConnectorError::io(
                "dns error: failed to lookup address information".into(),
            ))
        };
        assert_eq!(counted(unknown).await, one(|errors| errors.unknown_host = 1));
    });
}
