//! The fake X-Ray as a process of its own, as shell scripts and clusters use it.

use std::collections::BTreeMap;
use std::path::Path;

use tracepipe_e2e::http_get::http_get;
use tracepipe_e2e::process::Process;

use crate::rig::LIMIT;

#[tokio::test]
async fn the_fake_says_where_it_listens_and_what_it_counted() {
    let binary = Path::new(env!("CARGO_BIN_EXE_fake-xray"));
    let mut fake = Process::start(binary, &[], &BTreeMap::new()).unwrap();
    let address = fake
        .wait_for_line("address", LIMIT, |line| {
            line.strip_prefix("http://")?.parse().ok()
        })
        .await
        .unwrap();
    let (status, _) = http_get(address, "/TraceSegments").await.unwrap();
    assert_eq!(status, 403);
    let (_, counts) = http_get(address, "/_fake/counts").await.unwrap();
    assert!(counts.contains("\"denied\":1"), "{counts}");
    assert!(fake.terminate(LIMIT).await.unwrap().success());
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parse(fake.log().last().unwrap()), parse(&counts));
}
