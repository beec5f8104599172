//! What goes wrong, what is said of it, and that polling goes on as if nothing had been.

use super::*;

/// Polls once with `fault` in the way, then without.
async fn broken_once(fault: Fault) -> SourceError {
    let (shop, source) = opened(Flavor::Spree37).await;
    let hub = Hub::new();
    hub.poll(source.as_ref(), Noun::Order).await;
    shop.control().stock.pass_millis(2000);
    let number = shop.control().stock.add_order();
    shop.control().stock.pass_millis(2000);
    shop.control().fail_next(fault);
    let error = hub
        .try_poll(source.as_ref(), Noun::Order)
        .await
        .unwrap_err();
    assert!(!error.to_string().contains(KEY), "{error}");
    assert_eq!(hub.take_said(), [""; 0]);
    hub.poll(source.as_ref(), Noun::Order).await;
    assert_eq!(
        hub.take_said(),
        [format!("order:new {number}")],
        "after: {error}"
    );
    error
}

#[actix_web::test]
async fn every_failure_has_its_name_and_nothing_is_lost() {
    let cases = [
        (Fault::Status(500), "unavailable"),
        (Fault::Html(502), "unavailable"),
        (Fault::Html(200), "not_json"),
        (Fault::Html(302), "wrong_address"),
        (Fault::RateLimited(7), "rate_limited"),
        (Fault::Status(403), "forbidden"),
        (Fault::Status(404), "not_found"),
        (Fault::Status(422), "refused"),
        (Fault::HalfJson, "malformed"),
    ];
    for (fault, kind) in cases {
        let error = broken_once(fault.clone()).await;
        assert_eq!(error.kind(), kind, "{fault:?}: {error}");
        if let Fault::RateLimited(seconds) = fault {
            assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
        }
    }
}

#[actix_web::test]
async fn a_page_that_never_ends_and_one_that_never_begins_time_out() {
    for fault in [Fault::Endless, Fault::Slow(Duration::from_secs(60))] {
        let (shop, _) = opened(Flavor::Spree37).await;
        let limits = RequestLimits {
            timeout: Duration::from_millis(300),
            max_body_bytes: 1 << 20,
        };
        let short = Shop::new(
            client(),
            &shop.address(),
            credentials(Flavor::Spree37),
            limits,
        )
        .unwrap();
        let found = Found::SpreeV1 {
            path: ApiPath::ApiV1,
            changes: Changes::ByTime,
        };
        let source = open(&found, short);
        shop.control().fail_next(fault);
        let error = Hub::new()
            .try_poll(source.as_ref(), Noun::Order)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), "timeout", "{error}");
    }
}

#[actix_web::test]
async fn odd_documents_are_set_aside_and_the_rest_goes_on() {
    for flavor in [
        Flavor::Spree37,
        Flavor::Connector,
        Flavor::PlatformV2,
        Flavor::AdminV3,
    ] {
        let (shop, source) = opened(flavor).await;
        let hub = Hub::new();
        hub.poll(source.as_ref(), Noun::Order).await;
        shop.control().stock.pass_millis(2000);
        let oddities = [Oddity::NoNumber, Oddity::NoTime, Oddity::NotAnObject];
        let mut expected = Vec::new();
        for oddity in oddities {
            let odd = shop.control().stock.add_order();
            shop.control()
                .stock
                .change(&odd, |sale| sale.oddity = oddity);
            expected.push(format!("order:new {}", shop.control().stock.add_order()));
        }
        let strange = shop.control().stock.add_order();
        shop.control()
            .stock
            .change(&strange, |sale| sale.oddity = Oddity::WrongTypes);
        expected.push(format!("order:new {strange}"));
        shop.control().stock.pass_millis(2000);
        hub.poll(source.as_ref(), Noun::Order).await;
        assert_eq!(hub.take_said(), expected, "{flavor:?}");
        assert_eq!(
            hub.kept.borrow().set_aside.len(),
            3,
            "{flavor:?}: {:?}",
            hub.kept.borrow().set_aside
        );
    }
}

#[actix_web::test]
async fn a_document_that_the_shop_cannot_show_is_asked_for_again() {
    let (shop, source) = opened(Flavor::Spree37).await;
    let hub = Hub::new();
    hub.poll(source.as_ref(), Noun::Order).await;
    shop.control().stock.pass_millis(2000);
    let broken = shop.control().stock.add_order();
    let sound = shop.control().stock.add_order();
    shop.control().stock.pass_millis(2000);
    shop.control()
        .fail_always(&format!("orders/{broken}"), Fault::Status(500));
    hub.poll(source.as_ref(), Noun::Order).await;
    hub.poll(source.as_ref(), Noun::Order).await;
    assert_eq!(hub.take_said(), [format!("order:new {sound}")]);
    let kept = hub.kept.borrow().set_aside.clone();
    assert_eq!(kept.len(), 1, "listed once: {kept:?}");
    assert_eq!(
        (kept[0].token.as_str(), kept[0].fate),
        (broken.as_str(), Fate::TriedAgain)
    );
    shop.control().heal();
    hub.poll(source.as_ref(), Noun::Order).await;
    assert_eq!(hub.take_said(), [format!("order:new {broken}")]);
    assert_eq!(hub.poll(source.as_ref(), Noun::Order).await, 1);
}

#[actix_web::test]
async fn a_shop_that_begins_to_ignore_the_filter_is_noticed() {
    let (shop, source) = opened(Flavor::Spree37).await;
    shop.control().stock.pass_millis(600_000);
    shop.control().stock.add_order();
    let hub = Hub::new();
    hub.poll(source.as_ref(), Noun::Order).await;
    // As after an update to a version that ignores it, at the same address.
    shop.control().on_request(|stock: &mut Stock, _: &str| {
        let old = stock.stamp().minus(Duration::from_secs(6000));
        let number = stock.add_order();
        stock.change_quietly(&number, |sale| sale.updated_at = old);
    });
    hub.poll(source.as_ref(), Noun::Order).await;
    let ignoring = FakeShop::start(Flavor::Spree304).unwrap();
    for _ in 0..3 {
        ignoring.control().stock.add_order();
        ignoring.control().stock.pass_millis(600_000);
    }
    let found = Found::SpreeV1 {
        path: ApiPath::Api,
        changes: Changes::ByTime,
    };
    let source = open(&found, entry(&ignoring, credentials(Flavor::Spree304)));
    let error = hub
        .try_poll(source.as_ref(), Noun::Order)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "ignored", "{error}");
}

#[actix_web::test]
async fn an_access_token_is_kept_and_renewed_when_it_was_revoked() {
    let (shop, source) = opened(Flavor::PlatformV2).await;
    let hub = Hub::new();
    hub.poll(source.as_ref(), Noun::Order).await;
    hub.poll(source.as_ref(), Noun::Order).await;
    let tokens = |requests: Vec<String>| {
        requests
            .iter()
            .filter(|request| request.contains("oauth"))
            .count()
    };
    assert_eq!(tokens(shop.take_requests()), 1);
    shop.control().revoke_tokens();
    hub.poll(source.as_ref(), Noun::Order).await;
    assert_eq!(tokens(shop.take_requests()), 1);
}

#[actix_web::test]
async fn what_the_shop_still_allows_is_passed_on() {
    let (shop, source) = opened(Flavor::AdminV3).await;
    let set = |control: &mut Control| control.remaining = Some(17);
    set(&mut shop.control());
    let page = Hub::new().page(source.as_ref(), Noun::Order).await.unwrap();
    assert_eq!(page.remaining, Some(17));
}
