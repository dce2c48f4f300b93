//! "Did you mean …?": the nearest of the possible words, if one is near.
use strsim::damerau_levenshtein;

/// Most words that a message lists.
const LISTED: usize = 16;

/// Most candidates that are compared: more than a graph by hand has nodes.
const COMPARED: usize = 200;

/// The candidate nearest to `word`, if few enough letters differ (a third of the word, at least one) or only case does.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let reach = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .take(COMPARED)
        .map(|candidate| {
            let distance = damerau_levenshtein(&lower, &candidate.to_lowercase());
            // A word that continues what was written ("temp" for "temperature") is as good as one slip.
            let begun = lower.len() >= 3 && candidate.to_lowercase().starts_with(&lower);
            (if begun { distance.min(1) } else { distance }, candidate)
        })
        .filter(|(distance, candidate)| *distance <= reach && *candidate != word)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether one is a slip of the other.
pub(crate) fn same_or_near(word: &str, other: &str) -> bool {
    word == other || nearest(word, [other]).is_some()
}

/// Help for an unknown word: the nearest one, then what there is: `did you mean "eye"? nodes: camera, eye`.
pub(crate) fn help<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
    what: &str,
    quote: bool,
) -> Option<String> {
    let meant = nearest(word, candidates.clone())
        .map(|near| if quote { format!("did you mean \"{near}\"?") } else { format!("did you mean `{near}`?") });
    let all: Vec<&str> = candidates.into_iter().collect();
    let listing = listing(&all, what);
    match (meant, listing) {
        (Some(meant), Some(listing)) => Some(format!("{meant}\n{listing}")),
        (meant, listing) => meant.or(listing),
    }
}

/// `nodes: camera, eye, mind`, cut after a number of words.
pub(crate) fn listing(all: &[&str], what: &str) -> Option<String> {
    if all.is_empty() {
        return None;
    }
    let more = if all.len() > LISTED { format!(" and {} more", all.len() - LISTED) } else { String::new() };
    Some(format!("{what}: {}{more}", all[..all.len().min(LISTED)].join(", ")))
}

/// `a camera` or `an eye`.
pub(crate) fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) { "an" } else { "a" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_are_suggested() {
        let words = ["temperature", "top_k", "top_p", "model"];
        assert_eq!(nearest("temprature", words), Some("temperature"));
        assert_eq!(nearest("temp", words), Some("temperature"));
        assert_eq!(nearest("Model", words), Some("model"));
        assert_eq!(nearest("prompt", words), None);
        assert_eq!(nearest("x", words), None);
    }
}
