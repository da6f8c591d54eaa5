//! The page's parts as HTML.

use super::super::card::ModelCard;
use super::super::style;
use super::{Figure, NumberTable, PairGroup, Picture, ReportPage};
use crate::report::hashes::HashedFile;
use crate::report::number::Number;
use crate::verify::folds::CrossValidation;
use crate::verify::view1::View1;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const CSS: &str = include_str!("page.css");

pub fn page(page: &ReportPage) -> Markup {
    let sections = [
        section("numbers", "All numbers", page.tables.iter().map(number_table).collect()),
        section("view1", "View 1", page.view1.iter().map(view1).collect()),
        section("folds", "Folds", page.folds.iter().map(folds).collect()),
        section("curves", "Curves", page.figures.iter().map(figure).collect()),
        section("pairs", "Pairs", page.pairs.iter().map(pair_group).collect()),
        section("patches", "Chosen patches", patches(&page.patches)),
        section("settings", "Settings", settings(&page.settings)),
        section("files", "Files", files(&page.files)),
        section("reading", "How to read this", reading(page)),
        section("card", "Model card", page.card.iter().map(card).collect()),
    ];
    let sections: Vec<&Section> = sections.iter().flatten().collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) }
                style { (PreEscaped(CSS)) (PreEscaped(style::dark_css())) }
            }
            body {
                header {
                    h1 { (page.title) }
                    @if !page.summary.is_empty() { p.summary { (page.summary) } }
                    @if !page.verdict.is_empty() { div.verdict { @for number in &page.verdict { (verdict(number)) } } }
                    @if sections.len() > 2 {
                        nav aria-label="Sections" {
                            @for section in &sections { a href={ "#" (section.id) } { (section.title) } " " }
                        }
                    }
                }
                main { @for section in &sections { (section.markup) } }
                footer { "Made by deepid2 " (env!("CARGO_PKG_VERSION")) "." }
            }
        }
    }
}

struct Section {
    id: &'static str,
    title: &'static str,
    markup: Markup,
}

/// Nothing where there is nothing to show.
fn section(id: &'static str, title: &'static str, parts: Vec<Markup>) -> Option<Section> {
    let markup = html! { section id=(id) { h2 { (title) } @for part in &parts { (part) } } };
    (!parts.is_empty()).then_some(Section { id, title, markup })
}

fn verdict(number: &Number) -> Markup {
    html! {
        div.number {
            div.name { (number.name) }
            div.value { (number.value_text()) }
            @if let Some(interval) = number.interval_text() { div.detail { (interval) } }
            @if let Some(note) = &number.note { div.detail { (note) } }
        }
    }
}

fn number_table(table: &NumberTable) -> Markup {
    html! {
        h3 { (table.title) }
        div.scroll { table {
            thead { tr { th scope="col" { "Number" } th.figures scope="col" { "Value" } th.figures scope="col" { "95 % interval" } th scope="col" { "How" } } }
            tbody {
                @for number in &table.numbers {
                    tr {
                        th scope="row" { (number.name) }
                        td.figures { (number.value_text()) }
                        td.figures { (number.range_text().unwrap_or_else(|| "–".into())) }
                        td { (number.note.as_deref().unwrap_or_default()) }
                    }
                }
            }
        } }
    }
}

fn view1(view: &View1) -> Markup {
    html! {
        p {
            "Threshold " (style::distance(view.chosen.distance)) ", chosen on " (view.training_pairs)
            " pairs, where it is right in " (percent(view.chosen.accuracy)) ". On the other "
            (view.test_pairs) " pairs it is right in " strong { (percent(view.tested.accuracy)) }
            ": it accepts " (percent(view.tested.false_acceptance_rate)) " of the pairs of different people and rejects "
            (percent(view.tested.false_rejection_rate)) " of the pairs of one person."
        }
    }
}

fn folds(folds: &CrossValidation) -> Markup {
    html! {
        p { "Each fold is judged with the threshold that is best on all the others." }
        div.scroll { table {
            thead { tr { th scope="col" { "Fold" } th.figures scope="col" { "Threshold" } th.figures scope="col" { "Accuracy" } } }
            tbody {
                @for fold in &folds.folds {
                    tr { th scope="row" { (fold.fold + 1) } td.figures { (style::distance(fold.threshold)) } td.figures { (percent(fold.accuracy)) } }
                }
            }
            tfoot {
                tr {
                    th scope="row" { "Mean ± standard error" } td {}
                    td.figures { (format!("{:.2} ± {:.2} %", 100.0 * folds.mean, 100.0 * folds.standard_error)) }
                }
            }
        } }
    }
}

fn figure(figure: &Figure) -> Markup {
    html! {
        figure.plot {
            h3 { (figure.title) }
            div role="img" aria-label=(figure.title) { (PreEscaped(figure.svg.as_str())) }
            @if !figure.caption.is_empty() { figcaption { (figure.caption) } }
        }
    }
}

fn pair_group(group: &PairGroup) -> Markup {
    html! {
        h3 { (group.title) }
        p { (group.note) }
        @if group.pairs.is_empty() { p.none { "None." } }
        div.pairs {
            @for pair in &group.pairs {
                figure.pair {
                    div.two { @for picture in &pair.pictures { (image(picture)) } }
                    figcaption {
                        div.value { "distance " (style::distance(pair.distance)) }
                        @for picture in &pair.pictures { div.name { (picture.caption()) } }
                    }
                }
            }
        }
    }
}

fn patches(patches: &[Picture]) -> Vec<Markup> {
    let all = html! {
        div.patches { @for patch in patches { figure.patch { (image(patch)) figcaption { (patch.caption()) } } } }
    };
    if patches.is_empty() { Vec::new() } else { vec![all] }
}

fn image(picture: &Picture) -> Markup {
    let [width, height] = picture.size();
    html! { img src=(picture.address()) width=(width) height=(height) alt=(picture.caption()); }
}

fn settings(settings: &[(String, String)]) -> Vec<Markup> {
    let all = html! {
        div.scroll { table {
            tbody { @for (name, value) in settings { tr { th scope="row" { (name) } td.text { (value) } } } }
        } }
    };
    if settings.is_empty() { Vec::new() } else { vec![all] }
}

fn files(files: &[HashedFile]) -> Vec<Markup> {
    let all = html! {
        p { "SHA-256 of everything that these results came from; " code { "sha256sum" } " prints the same. Of several files taken together it is the hash of what " code { "sha256sum" } " prints for them." }
        div.scroll { table {
            thead { tr { th scope="col" { "File" } th.figures scope="col" { "Bytes" } th scope="col" { "SHA-256" } } }
            tbody {
                @for file in files {
                    tr { th scope="row" { (file.name) } td.figures { (thousands(file.bytes)) } td { code.hash { (file.sha256) } } }
                }
            }
        } }
    };
    if files.is_empty() { Vec::new() } else { vec![all] }
}

/// Explains what the page shows, and only that.
fn reading(page: &ReportPage) -> Vec<Markup> {
    let numbers = || page.verdict.iter().chain(page.tables.iter().flat_map(|table| &table.numbers));
    let any = numbers().next().is_some();
    let entries: [(bool, &str, &str); 8] = [
        (
            any || page.folds.is_some(),
            "Accuracy",
            "Share of the pairs that are judged rightly, as one person or as different people. Guessing gives 50 % where both kinds are equally many.",
        ),
        (
            page.folds.is_some(),
            "Mean ± standard error",
            "Over folds: the deviation of the folds' accuracies (over k − 1) divided by √k. It says how far the mean may be off, not how far the folds differ.",
        ),
        (
            numbers().any(|n| n.interval.is_some()),
            "95 % interval",
            "People, not pairs, are drawn again with replacement, and everything is measured anew; 95 % of these measurements lie in the interval. Two verifiers whose intervals overlap widely are not shown to differ.",
        ),
        (
            any,
            "FAR and FRR",
            "False acceptance rate: share of the pairs of different people taken for one person. False rejection rate: share of the pairs of one person taken for different people. A threshold trades one for the other.",
        ),
        (
            any,
            "AUC and EER",
            "Area under the ROC curve: the chance that a pair of one person is nearer than a pair of different people; 0.5 is guessing, 1 perfect. Equal error rate: where FAR and FRR are the same; 50 % is guessing, 0 perfect.",
        ),
        (
            any,
            "TAR at FAR",
            "Share of the pairs of one person that are accepted when the threshold accepts at most the given share of the pairs of different people. With N of the latter, nothing below 1/N can be told.",
        ),
        (
            !page.figures.is_empty(),
            "Curves",
            "On ROC curves higher is better, on DET curves lower. DET axes are scaled so that normally distributed distances give straight lines. Eigenvalues: a good verifier keeps the variance between people and has little within a person.",
        ),
        (
            !page.pairs.is_empty(),
            "Pairs",
            "The most confident verdicts are those farthest from the threshold. Wrong ones with high confidence are worth a look: wrong labels, two faces in a picture, and what the network does not know.",
        ),
    ];
    let shown: Vec<_> = entries.iter().filter(|(show, ..)| *show).collect();
    let list = html! { dl { @for (_, term, text) in &shown { dt { (term) } dd { (text) } } } };
    if shown.is_empty() { Vec::new() } else { vec![list] }
}

fn card(card: &ModelCard) -> Markup {
    html! {
        p { strong { (card.name) } ". " (card.description) }
        @for (heading, items) in card.sections() {
            h3 { (heading) }
            ul { @for item in &items { li { (item) } } }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// `1234567` as `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"].map(String::from));
    }
}
