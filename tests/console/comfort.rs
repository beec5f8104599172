//! Other ways to use the console: colours of the system's own, large text, many tabs, the keyboard alone.

use serde_json::json;

use crate::{
    browser::Browser,
    looks::{furnished, wrong_with},
    support::{Hub, hub::OPERATOR},
};

#[actix_web::test]
async fn pages_keep_together_in_forced_colours_and_with_text_twice_as_large() {
    let hub = Hub::start().await;
    let (browser, pages, _kept) = furnished(&hub).await;
    let mut wrong = Vec::new();
    browser.emulate("forced-colors", "active").await;
    for page in &pages {
        browser.open(page).await;
        wrong.extend(wrong_with(&browser, page, "in forced colours").await);
        // A shape that takes the colour of the ground behind it cannot be seen.
        let lost = browser
            .run("return [...document.querySelectorAll('main svg')].filter((svg) => svg.checkVisibility() && getComputedStyle(svg).color === getComputedStyle(document.body).backgroundColor).length")
            .await;
        if lost != 0 {
            wrong.push(format!("{page}: {lost} shapes are lost in forced colours"));
        }
    }
    browser.picture("forced-colours").await;
    browser.emulate("forced-colors", "none").await;
    let twice = json!({"fontSizes": {"standard": 32, "fixed": 26}});
    browser.cdp("Page.setFontSizes", twice).await;
    for page in &pages {
        browser.open(page).await;
        let size = "return getComputedStyle(document.documentElement).fontSize";
        assert_eq!(browser.run(size).await, "32px");
        wrong.extend(wrong_with(&browser, page, "with large text").await);
    }
    browser.picture("large-text").await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[actix_web::test]
async fn tab_reaches_everything_and_shows_where_it_is() {
    const MARK: &str = "const can = 'main a[href], main button, main input:not([type=hidden]), main select, main textarea, main summary';
        const all = [...document.querySelectorAll(can)].filter((node) => node.checkVisibility() && !node.disabled && (node.type !== 'radio' || node.checked));
        all.forEach((node) => node.dataset.unreached = '');
        document.activeElement.blur();
        return all.length;";
    const STEP: &str = "const node = document.activeElement;
        delete node.dataset.unreached;
        const style = getComputedStyle(node);
        const seen = node === document.body || node.matches('.skip') || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2) || style.outlineStyle === 'auto';
        return [node === document.body, seen, node.outerHTML.slice(0, 100)];";
    let hub = Hub::start().await;
    let (browser, pages, _kept) = furnished(&hub).await;
    let of_things = [
        "/console?",
        "/console/stores/",
        "/console/integrations/",
        "/console/schedulers/",
    ];
    let chosen = pages
        .iter()
        .filter(|page| of_things.iter().any(|start| page.starts_with(start)));
    for page in chosen {
        browser.open(page).await;
        let many = browser.run(MARK).await.as_u64().unwrap();
        for _ in 0..many + 60 {
            browser.key("Tab").await;
            let step = browser.run(STEP).await;
            assert_eq!(step[1], true, "{page}: focus cannot be seen on {}", step[2]);
            if step[0] == true {
                break;
            }
        }
        let left = "return [...document.querySelectorAll('[data-unreached]')].map((node) => node.outerHTML.slice(0, 120))";
        assert_eq!(browser.run(left).await, json!([]), "{page}");
    }
}

#[actix_web::test]
async fn with_eight_live_tabs_the_ninth_loads() {
    let hub = Hub::start().await;
    hub.store("Tidewater").await;
    let browser = Browser::start(&hub, 1280, 900).await;
    browser.make_first_account(OPERATOR).await;
    browser.reads("Live ").await;
    for _ in 0..8 {
        browser.new_tab().await;
        browser.open("/console").await;
        browser.reads("Live ").await;
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
