//! Waiting for a condition, never for a time.

use std::future::Future;
use std::time::Duration;

use anyhow::anyhow;

/// How often a condition is looked at. Tests that count requests of the API server count these too.
pub const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Looks until `look` finds something. An error of `look` means "not yet, because": the last one is told when `limit`
/// has passed.
///
/// # Errors
/// When `limit` passes before.
pub async fn wait_until<T, Looking>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Looking,
) -> anyhow::Result<T>
where
    Looking: Future<Output = anyhow::Result<T>>,
{
    let mut last = anyhow!("the first look has not ended");
    let looking = async {
        loop {
            match look().await {
                Ok(found) => return found,
                Err(error) => last = error,
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    match tokio::time::timeout(limit, looking).await {
        Ok(found) => Ok(found),
        Err(_) => Err(last.context(format!("no {what} in {limit:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use anyhow::bail;

    use super::wait_until;

    #[tokio::test(start_paused = true)]
    async fn it_looks_until_something_is_found() {
        let looks = Cell::new(0);
        let found = wait_until("third look", Duration::from_secs(60), || async {
            looks.set(looks.get() + 1);
            if looks.get() < 3 {
                bail!("look {}", looks.get());
            }
            Ok(looks.get())
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_reason_is_told_also_when_a_look_hangs() {
        let looks = Cell::new(0);
        let found = wait_until("end", Duration::from_secs(5), || async {
            looks.set(looks.get() + 1);
            if looks.get() == 2 {
                std::future::pending::<()>().await;
            }
            bail!("1 of 2 pods") as anyhow::Result<()>
        });
        let error = format!("{:#}", found.await.unwrap_err());
        assert_eq!(error, "no end in 5s: 1 of 2 pods");
    }
}
