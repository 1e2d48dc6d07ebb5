//! Which of the mapped objects a command means.

use shadow::Mapping;

use crate::problem::{Answer, MendAct, Problem};

/// The mappings of the named objects, parents before their children; all of them where none is named.
///
/// - **Errors:** SS-5202 for a name that is not mapped, with those that are.
pub(crate) fn mapped(names: &[String]) -> Answer<Vec<Mapping>> {
    let all = Mapping::built_in();
    if names.is_empty() {
        return Ok(all);
    }
    for name in names {
        if !all.iter().any(|mapping| mapping.object.as_str().eq_ignore_ascii_case(name)) {
            let known: Vec<&str> = all.iter().map(|mapping| mapping.object.as_str()).collect();
            let shown: String = name.chars().take(60).collect();
            return Err(Box::new(
                Problem::new(
                    "SS-5202",
                    format!("`{shown}` is not a mapped object"),
                    "Only mapped objects have a shadow table.",
                )
                .step(format!("Mapped are: {}.", known.join(", ")))
                .act(MendAct::OpenSettings),
            ));
        }
    }
    let is_named =
        |mapping: &Mapping| names.iter().any(|name| mapping.object.as_str().eq_ignore_ascii_case(name));
    Ok(all.into_iter().filter(is_named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_in_the_order_in_which_they_can_be_loaded() {
        let names = ["pricebookentry".to_owned(), "Product2".to_owned()];
        let objects: Vec<_> =
            mapped(&names).unwrap().iter().map(|mapping| mapping.object.to_string()).collect();
        assert_eq!(objects, ["Product2", "PricebookEntry"]);
        assert_eq!(mapped(&["Contract".to_owned()]).unwrap_err().code, "SS-5202");
    }
}
