//! What is in the shop, and its clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::time::Micros;

/// 2026-03-02T14:00:00Z, when every fake shop opens.
const OPENING: i64 = 1_772_460_000_000_000;

/// How fine the shop's times are, stored as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Rails 3.2.
    Seconds,
    /// Since Rails 4.
    Millis,
}

/// What is wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Oddity {
    /// Nothing.
    #[default]
    None,
    /// It has no number.
    NoNumber,
    /// Its `updated_at` is `"yesterday"`.
    NoTime,
    /// In its place stands a text.
    NotAnObject,
    /// Lists where texts are due, texts where lists are due.
    WrongTypes,
}

/// An order or a cart.
#[derive(Debug, Clone, PartialEq)]
pub struct Sale {
    /// The row's key.
    pub id: u64,
    /// Such as `R100000007`.
    pub number: String,
    /// The customer's.
    pub email: String,
    /// `complete`, `canceled`, `cart`, ...
    pub state: &'static str,
    /// `pending`, `ready`, `shipped`, ...
    pub shipment_state: Option<&'static str>,
    /// `balance_due`, `paid`.
    pub payment_state: &'static str,
    /// The value of its items, in cents.
    pub item_cents: i64,
    /// Shown as `special_instructions` (`customer_note`): not in rows' way.
    pub note: String,
    /// When it was made.
    pub created_at: Micros,
    /// When it last changed.
    pub updated_at: Micros,
    /// When it was ordered.
    pub completed_at: Option<Micros>,
    /// When it was canceled.
    pub canceled_at: Option<Micros>,
    /// What is wrong with it.
    pub oddity: Oddity,
}

/// A user.
#[derive(Debug, Clone, PartialEq)]
pub struct Customer {
    /// The row's key.
    pub id: u64,
    /// The name by which it is known.
    pub email: String,
    /// Times signed in: something to change.
    pub visits: u32,
    /// When it was made.
    pub created_at: Micros,
    /// When it last changed.
    pub updated_at: Micros,
}

/// A product with one variant.
#[derive(Debug, Clone, PartialEq)]
pub struct Article {
    /// The row's key.
    pub id: u64,
    /// The name by which it is known.
    pub sku: String,
    /// In cents.
    pub price_cents: i64,
    /// When it was made.
    pub created_at: Micros,
    /// When it last changed.
    pub updated_at: Micros,
}

/// Everything in the shop.
pub struct Stock {
    /// The shop's clock.
    pub now: Micros,
    precision: Precision,
    pub(super) sales: BTreeMap<u64, Sale>,
    pub(super) by_number: HashMap<String, u64>,
    pub(super) by_updated: BTreeSet<(Micros, u64)>,
    pub(super) completed: BTreeSet<u64>,
    pub(super) customers: BTreeMap<u64, Customer>,
    pub(super) articles: BTreeMap<u64, Article>,
    next_id: u64,
}

impl Stock {
    /// An empty shop.
    #[must_use]
    pub fn new(precision: Precision) -> Self {
        Self {
            now: Micros(OPENING),
            precision,
            sales: BTreeMap::new(),
            by_number: HashMap::new(),
            by_updated: BTreeSet::new(),
            completed: BTreeSet::new(),
            customers: BTreeMap::new(),
            articles: BTreeMap::new(),
            next_id: 1,
        }
    }

    /// Moves the clock on.
    pub fn pass_millis(&mut self, millis: i64) {
        self.now = Micros(self.now.0 + millis * 1000);
    }

    /// The clock, as fine as the shop stores it.
    #[must_use]
    pub fn stamp(&self) -> Micros {
        let unit = match self.precision {
            Precision::Seconds => 1_000_000,
            Precision::Millis => 1000,
        };
        Micros(self.now.0.div_euclid(unit) * unit)
    }

    /// A text of the instant as the shop writes it.
    pub(super) fn text(&self, at: Micros) -> String {
        let form = match self.precision {
            Precision::Seconds => chrono::SecondsFormat::Secs,
            Precision::Millis => chrono::SecondsFormat::Millis,
        };
        at.date().to_rfc3339_opts(form, true)
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn insert(&mut self, sale: Sale) -> String {
        let number = sale.number.clone();
        self.by_number.insert(number.clone(), sale.id);
        self.by_updated.insert((sale.updated_at, sale.id));
        if sale.completed_at.is_some() {
            self.completed.insert(sale.id);
        }
        self.sales.insert(sale.id, sale);
        number
    }

    /// A new cart; answers its number.
    pub fn add_cart(&mut self) -> String {
        let id = self.new_id();
        let at = self.stamp();
        let number = format!("R{}", 100_000_000 + id);
        self.insert(Sale {
            id,
            number,
            email: format!("customer{}@example.org", id % 1000),
            state: "cart",
            shipment_state: None,
            payment_state: "balance_due",
            item_cents: 1000 + i64::try_from(id % 97).unwrap_or(0) * 50,
            note: String::new(),
            created_at: at,
            updated_at: at,
            completed_at: None,
            canceled_at: None,
            oddity: Oddity::None,
        })
    }

    /// A new order, completed now; answers its number.
    pub fn add_order(&mut self) -> String {
        let number = self.add_cart();
        self.complete(&number);
        number
    }

    /// A cart becomes an order.
    pub fn complete(&mut self, number: &str) {
        let at = self.stamp();
        self.change(number, |sale| {
            sale.state = "complete";
            sale.shipment_state = Some("ready");
            sale.completed_at = Some(at);
        });
    }

    /// Changes a sale now.
    pub fn change(&mut self, number: &str, change: impl FnOnce(&mut Sale)) {
        let at = self.stamp();
        self.change_quietly(number, |sale| {
            sale.updated_at = at;
            change(sale);
        });
    }

    /// Changes a sale, `updated_at` only where `change` says so: as columns written around callbacks, and late commits.
    pub fn change_quietly(&mut self, number: &str, change: impl FnOnce(&mut Sale)) {
        let Some(id) = self.by_number.get(number) else {
            return;
        };
        let Some(sale) = self.sales.get_mut(id) else {
            return;
        };
        let before = sale.updated_at;
        change(sale);
        self.by_updated.remove(&(before, sale.id));
        self.by_updated.insert((sale.updated_at, sale.id));
        if sale.completed_at.is_some() {
            self.completed.insert(sale.id);
        }
    }

    /// Cancels an order now.
    pub fn cancel(&mut self, number: &str) {
        let at = self.stamp();
        self.change(number, |sale| {
            sale.state = "canceled";
            sale.shipment_state = Some("canceled");
            sale.canceled_at = Some(at);
        });
    }

    /// Deletes a sale.
    pub fn remove(&mut self, number: &str) {
        if let Some(sale) = self
            .by_number
            .remove(number)
            .and_then(|id| self.sales.remove(&id))
        {
            self.by_updated.remove(&(sale.updated_at, sale.id));
            self.completed.remove(&sale.id);
        }
    }

    /// A sale.
    #[must_use]
    pub fn sale(&self, number: &str) -> Option<&Sale> {
        self.sales.get(self.by_number.get(number)?)
    }

    /// All numbers, oldest first.
    #[must_use]
    pub fn numbers(&self) -> Vec<String> {
        self.sales
            .values()
            .map(|sale| sale.number.clone())
            .collect()
    }

    /// A new user; answers the e-mail address.
    pub fn add_customer(&mut self) -> String {
        let (id, at) = (self.new_id(), self.stamp());
        let email = format!("user{id}@example.org");
        let customer = Customer {
            id,
            email: email.clone(),
            visits: 0,
            created_at: at,
            updated_at: at,
        };
        self.customers.insert(id, customer);
        email
    }

    /// A user signs in.
    pub fn visit(&mut self, email: &str) {
        let at = self.stamp();
        if let Some(customer) = self
            .customers
            .values_mut()
            .find(|customer| customer.email == email)
        {
            customer.visits += 1;
            customer.updated_at = at;
        }
    }

    /// A new product; answers the SKU.
    pub fn add_article(&mut self) -> String {
        let (id, at) = (self.new_id(), self.stamp());
        let sku = format!("SKU-{id}");
        let article = Article {
            id,
            sku: sku.clone(),
            price_cents: 1995,
            created_at: at,
            updated_at: at,
        };
        self.articles.insert(id, article);
        sku
    }

    /// A product gets another price.
    pub fn reprice(&mut self, sku: &str, cents: i64) {
        let at = self.stamp();
        if let Some(article) = self
            .articles
            .values_mut()
            .find(|article| article.sku == sku)
        {
            article.price_cents = cents;
            article.updated_at = at;
        }
    }
}
