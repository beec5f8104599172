//! What the tests stand on: a hub in its own process, a sink that behaves as it is told, and an API client.

pub mod hub;
pub mod raw;
mod shop;
mod sink;

use std::time::Duration;

use integrator::sources::fake_shop::{FakeShop, Flavor as FakeFlavor};

pub use hub::{Hub, OPERATOR, Setup, Store};
pub use raw::RawSink;
pub use shop::order;
pub use sink::{Received, Reply, Sink};

/// A fake shop with a few old orders.
pub fn fake_shop(flavor: FakeFlavor) -> FakeShop {
    let shop = FakeShop::start(flavor).unwrap();
    let mut control = shop.control();
    for _ in 0..3 {
        control.stock.add_order();
        control.stock.pass_millis(1000);
    }
    control.stock.pass_millis(100_000);
    drop(control);
    shop
}

/// How long a test waits for what must happen. Long, because machines are slow; only a failing test ever waits it out.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Asks `probe` until it gives something, at most [`PATIENCE`].
pub async fn eventually<T, Fut: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> Fut,
) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "never happened: {what}"
        );
        // A question a short while later, not a guess how long things take.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
