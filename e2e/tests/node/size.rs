//! What others have in a namespace costs the operator nothing.

use serde_json::json;

use crate::operator::OwnOperator;
use crate::rig::{ambient, rig};

const NAMESPACE: &str = "tp-crowd";
const CONFIG_MAPS: usize = 1_000;
const BYTES: usize = 100_000;
/// The bound of the product, in MiB.
const MEMORY_MIB: f64 = 30.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_foreign_config_maps_of_100_kb_leave_the_operator_under_30_mib() {
    let Some(rig) = rig().await else { return };
    rig.make_namespace(NAMESPACE).await.unwrap();
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    for index in 0..CONFIG_MAPS {
        let map = json!({ "metadata": { "name": format!("crowd-{index}") }, "data": { "text": "x".repeat(BYTES) } });
        rig.api.post(&path, &map).await.unwrap().success().unwrap();
    }
    let operator = OwnOperator::start(NAMESPACE, &[]).await.unwrap();
    rig.create(NAMESPACE, "main", &ambient()).await.unwrap();
    rig.until_ready(NAMESPACE, "main").await;
    // A change, so that ConfigMaps are listed and pruned as well.
    rig.change(NAMESPACE, "main", json!({ "samplingRatePercentage": 20 }))
        .await
        .unwrap();
    rig.until_ready(NAMESPACE, "main").await;
    let (now, peak) = operator.memory_mib().unwrap();
    assert!(peak < MEMORY_MIB, "{now:.1} MiB now, {peak:.1} MiB at most");
    rig.remove(NAMESPACE, None).await.unwrap();
}
