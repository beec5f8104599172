//! Customers of a simulated shop: orders are placed, changed, made ready, shipped, and sometimes canceled.
//!
//! The shop itself is [`FakeShop`], which answers like Spree 3.7; the hub polls it as it would poll a real one. Its days are all alike, so that a
//! demo can be repeated.

use std::collections::VecDeque;

use crate::{
    domain::time::Micros,
    sources::fake_shop::{FakeShop, Stock},
};

/// What happens to an order next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Pack,
    Change,
    Ship,
    Cancel,
}

/// The customers.
#[derive(Debug, Default)]
pub struct Customers {
    placed: u64,
    agenda: VecDeque<(String, Step)>,
}

impl Customers {
    /// What happens in the next moment, which is `now`: a new order every so often, and something happening to an older one.
    pub fn step(&mut self, shop: &FakeShop, now: Micros) {
        self.act(&mut shop.control().stock, now);
    }

    fn act(&mut self, stock: &mut Stock, now: Micros) {
        stock.now = now;
        if self.agenda.len() >= 6 {
            if let Some((number, step)) = self.agenda.pop_front() {
                happen(stock, &number, step);
            }
            return;
        }
        self.placed += 1;
        let placed = self.placed;
        let number = stock.add_order();
        stock.change(&number, |sale| {
            sale.shipment_state = Some("pending");
            if placed.is_multiple_of(4) {
                sale.item_cents += 31_000;
            }
        });
        if placed.is_multiple_of(3) {
            self.agenda.push_back((number.clone(), Step::Change));
        }
        if placed.is_multiple_of(7) {
            self.agenda.push_back((number, Step::Cancel));
        } else {
            self.agenda.push_back((number.clone(), Step::Pack));
            self.agenda.push_back((number, Step::Ship));
        }
    }
}

fn happen(stock: &mut Stock, number: &str, step: Step) {
    match step {
        Step::Pack => stock.change(number, |sale| {
            sale.shipment_state = Some("ready");
            sale.payment_state = "paid";
        }),
        Step::Change => stock.change(number, |sale| sale.item_cents += 450),
        Step::Ship => stock.change(number, |sale| sale.shipment_state = Some("shipped")),
        Step::Cancel => stock.cancel(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::fake_shop::Flavor;

    #[actix_web::test]
    async fn orders_live_through_all_that_an_order_can() {
        let shop = FakeShop::start(Flavor::Spree37).unwrap();
        let mut customers = Customers::default();
        for second in 0..200 {
            customers.step(&shop, Micros(1_800_000_000_000_000 + second * 1_000_000));
        }
        let control = shop.control();
        let numbers = control.stock.numbers();
        let count = |state: &str| {
            let sales = numbers
                .iter()
                .filter_map(|number| control.stock.sale(number));
            sales
                .filter(|sale| sale.state == state || sale.shipment_state == Some(state))
                .count()
        };
        assert!(count("shipped") > 20, "{}", count("shipped"));
        assert!(count("canceled") > 2, "{}", count("canceled"));
    }
}
