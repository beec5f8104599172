//! Singulars of the plural names under which objects come.

/// Plurals that no rule gives, and words in `s` that are no plurals.
const SPECIAL: [(&str, &str); 16] = [
    ("people", "person"),
    ("children", "child"),
    ("taxes", "tax"),
    ("boxes", "box"),
    ("statuses", "status"),
    ("buses", "bus"),
    ("aliases", "alias"),
    ("gas", "gas"),
    ("news", "news"),
    ("series", "series"),
    ("movies", "movie"),
    ("cookies", "cookie"),
    ("indices", "index"),
    ("matrices", "matrix"),
    ("leaves", "leaf"),
    ("shelves", "shelf"),
];

/// The singular of a plural name: `orders` is `order`, `inventories` `inventory`, `addresses` `address`,
/// `purchase_orders` `purchase_order`. Of a compound, only the last word changes. A name that is no plural is its own singular.
#[must_use]
pub fn singular(name: &str) -> String {
    let start = name.rfind(['_', '-']).map_or(0, |at| at + 1);
    let (head, word) = name.split_at(start);
    format!("{head}{}", singular_word(word))
}

fn singular_word(word: &str) -> String {
    if let Some((_, special)) = SPECIAL.iter().find(|(plural, _)| *plural == word) {
        return (*special).to_owned();
    }
    let stem = |ending: &str| word.strip_suffix(ending).filter(|stem| stem.len() > 1);
    if let Some(stem) = stem("ies") {
        return format!("{stem}y");
    }
    for ending in ["sses", "shes", "ches", "xes", "zzes"] {
        if word.ends_with(ending) && word.len() > ending.len() {
            // All of these lose `es`.
            return word.strip_suffix("es").unwrap_or(word).to_owned();
        }
    }
    if word.ends_with("ss") || word.ends_with("us") || word.ends_with("is") {
        return word.to_owned();
    }
    stem("s").unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::singular;

    #[test]
    fn names_of_real_files_have_their_singulars() {
        for (plural, expected) in [
            ("orders", "order"),
            ("products", "product"),
            ("customers", "customer"),
            ("shipments", "shipment"),
            ("inventories", "inventory"),
            ("addresses", "address"),
            ("returns", "return"),
            ("prices", "price"),
            ("purchase_orders", "purchase_order"),
            ("transfer-orders", "transfer-order"),
            ("invoices", "invoice"),
            ("taxons", "taxon"),
            ("taxes", "tax"),
            ("statuses", "status"),
            ("warehouses", "warehouse"),
            ("purchases", "purchase"),
            ("boxes", "box"),
            ("batches", "batch"),
            ("categories", "category"),
            ("carts", "cart"),
            ("emails", "email"),
            ("people", "person"),
        ] {
            assert_eq!(singular(plural), expected);
        }
    }

    #[test]
    fn a_singular_stays_as_it_is() {
        for name in [
            "order",
            "inventory",
            "address",
            "status",
            "news",
            "stock",
            "s",
            "",
        ] {
            assert_eq!(singular(name), name);
        }
    }
}
