//! What is found, why, and what is said where nothing is.

use super::*;

async fn probed(flavor: Flavor, credentials: Credentials) -> (FakeShop, Probe) {
    let shop = FakeShop::start(flavor).unwrap();
    shop.control().stock.add_order();
    let probe = probe(&entry(&shop, credentials)).await;
    (shop, probe)
}

#[actix_web::test]
async fn each_kind_of_shop_is_told_apart_with_a_few_requests() {
    let v1 = |path, changes| Found::SpreeV1 { path, changes };
    let expected = [
        (Flavor::Spree13, v1(ApiPath::Api, Changes::ByTime), 4),
        (Flavor::Spree20, v1(ApiPath::Api, Changes::ByTime), 4),
        (Flavor::Spree304, v1(ApiPath::Api, Changes::ByWalking), 4),
        (Flavor::Spree37, v1(ApiPath::ApiV1, Changes::ByTime), 3),
        (
            Flavor::Connector,
            Found::HubConnector {
                index: ConnectorIndex::Collections,
                collections: vec![Noun::Order, Noun::User, Noun::Cart, Noun::Product],
            },
            1,
        ),
        (
            Flavor::OldConnector,
            Found::HubConnector {
                index: ConnectorIndex::Everything,
                collections: vec![Noun::Order, Noun::StockTransfer],
            },
            1,
        ),
        (Flavor::Solidus, Found::Solidus, 3),
        (Flavor::PlatformV2, Found::PlatformV2, 2),
        (Flavor::AdminV3, Found::AdminV3, 1),
    ];
    for (flavor, found, requests) in expected {
        let (shop, probe) = probed(flavor, credentials(flavor)).await;
        assert_eq!(probe.outcome, Ok(found), "{flavor:?}: {:?}", probe.steps);
        assert_eq!(
            shop.take_requests().len(),
            requests,
            "{flavor:?}: {:?}",
            probe.steps
        );
        assert!(!probe.steps.is_empty());
    }
}

#[actix_web::test]
async fn a_shop_that_cannot_be_polled_is_told_what_to_do() {
    for key in [KEY, "sk_other"] {
        let (_shop, probe) = probed(Flavor::Spree54, Credentials::Key(key.to_owned())).await;
        let error = probe.outcome.unwrap_err();
        assert!(matches!(error, SourceError::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("update to Spree 5.5"), "{error}");
    }
    let (_shop, probe) = probed(Flavor::PlatformV2, Credentials::Key(KEY.to_owned())).await;
    let error = probe.outcome.unwrap_err();
    assert!(error.to_string().contains("OAuth application"), "{error}");
}

#[actix_web::test]
async fn a_wrong_key_is_named_as_such_and_never_repeated() {
    for flavor in ALL {
        let wrong = match flavor {
            Flavor::PlatformV2 => Credentials::Application {
                id: CLIENT_ID.to_owned(),
                secret: "wrong-secret-9".to_owned(),
            },
            Flavor::AdminV3 => Credentials::Key("sk_wrong-secret-9".to_owned()),
            _ => Credentials::Key("wrong-secret-9".to_owned()),
        };
        let (_shop, probe) = probed(flavor, wrong).await;
        let all = format!("{:?} {:?}", probe.outcome, probe.steps);
        assert!(
            matches!(probe.outcome, Err(SourceError::WrongKey { .. })),
            "{flavor:?}: {all}"
        );
        assert!(!all.contains("wrong-secret"), "{flavor:?}: {all}");
    }
}

#[actix_web::test]
async fn the_address_may_be_given_in_any_of_its_usual_forms() {
    let (shop, _) = probed(Flavor::Spree37, credentials(Flavor::Spree37)).await;
    for tail in ["", "/", "/api", "/api/v1/", "/api/v1/orders"] {
        let address = format!("{}{tail}", shop.address());
        let entry = Shop::new(
            client(),
            &address,
            credentials(Flavor::Spree37),
            RequestLimits::default(),
        )
        .unwrap();
        assert!(probe(&entry).await.outcome.is_ok(), "{address}");
    }
}

#[actix_web::test]
async fn an_address_without_a_shop_says_so() {
    let shop = FakeShop::start(Flavor::Spree37).unwrap();
    shop.control().fail_always("", Fault::Html(404));
    let error = probe(&entry(&shop, credentials(Flavor::Spree37)))
        .await
        .outcome
        .unwrap_err();
    assert!(matches!(error, SourceError::WrongAddress { .. }), "{error}");
    shop.control().heal();
    shop.control().fail_always("", Fault::Html(200));
    let error = probe(&entry(&shop, credentials(Flavor::Spree37)))
        .await
        .outcome
        .unwrap_err();
    assert!(error.to_string().contains("Please sign in"), "{error}");
    assert!(!error.to_string().contains(KEY), "{error}");
    let nobody = Shop::new(
        client(),
        "http://127.0.0.1:9",
        credentials(Flavor::Spree37),
        RequestLimits::default(),
    )
    .unwrap();
    let error = probe(&nobody).await.outcome.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable(_)), "{error}");
    for odd in [
        "shop.example.org",
        "ftp://shop.example.org",
        "https://key@shop.example.org",
    ] {
        let error = Shop::new(
            client(),
            odd,
            credentials(Flavor::Spree37),
            RequestLimits::default(),
        )
        .err()
        .unwrap();
        assert!(matches!(error, SourceError::WrongAddress { .. }), "{error}");
    }
}
