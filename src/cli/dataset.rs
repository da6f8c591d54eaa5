//! `deepid2 dataset`.

use anyhow::Result;
use clap::{Args, Subcommand};
use deepid2::data::check::duplicates::Duplicates;
use deepid2::data::check::overlap::Overlap;
use deepid2::data::check::{self, Checked, Findings, Spread};
use deepid2::data::formats::celeba::{self, Annotated};
use deepid2::data::formats::{self, Format, Opened, Part, folders};
use deepid2::data::pairs::PairList;
use deepid2::data::pairs::people::PeopleList;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Items of a list that are shown; `--json` has all.
const SHOWN: usize = 10;

#[derive(Debug, Subcommand)]
pub enum DatasetCommand {
    /// Count, decode every picture, and find duplicates, overlaps and pairs that name what is not there. Ends with
    /// status 1 where something must be mended
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Folder per identity (LFW, ORL and others), list file of `path identity` lines, or folder of CelebA; CelebA#A and
    /// CelebA#B are the paper's two parts (partition 0; 1 and 2)
    path: PathBuf,
    /// Data set that must share no person and no picture with PATH, such as the test set
    #[arg(long, value_name = "OTHER")]
    against: Option<PathBuf>,
    /// Pairs file whose pictures must all be below PATH
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// LFW's people.txt or peopleDevTrain.txt, whose people and pictures must all be in PATH
    #[arg(long, value_name = "FILE")]
    people: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs a subcommand of `deepid2 dataset`.
pub fn run(command: &DatasetCommand) -> Result<ExitCode> {
    let DatasetCommand::Check(args) = command;
    let set = Set::open(&args.path)?;
    let other = args.against.as_deref().map(Set::open).transpose()?;
    let overlap = other.as_ref().map(|other| check::against(&set.checked, &other.checked));
    let pairs = args.pairs.as_deref().map(|pairs| PairsFile::open(pairs, &set.path));
    let people = args.people.as_deref().map(|people| PeopleFile::open(people, &set));

    let mut problems = set.problems();
    if let Some(other) = &other {
        problems.extend(other.problems().into_iter().map(|problem| format!("{problem} ({})", other.path.display())));
    }
    problems.extend(overlap.iter().flat_map(Overlap::problems));
    problems.extend(pairs.iter().flat_map(PairsFile::problems));
    problems.extend(people.iter().flat_map(PeopleFile::problems));

    if args.json {
        let sets = [("set", Some(&set)), ("against", other.as_ref())];
        let mut report = json!({ "problems": problems });
        for (name, set) in sets {
            report[name] = set.map_or(Value::Null, Set::json);
        }
        report["overlap"] = json!(overlap);
        report["pairs"] = pairs.as_ref().map_or(Value::Null, PairsFile::json);
        report["people"] = people.as_ref().map_or(Value::Null, PeopleFile::json);
        println!("{report}");
    } else {
        set.print();
        if let Some(other) = &other {
            other.print();
        }
        if let Some(overlap) = &overlap {
            print_overlap(overlap);
        }
        if let Some(pairs) = &pairs {
            pairs.print();
        }
        if let Some(people) = &people {
            people.print();
        }
        match problems.is_empty() {
            true => println!("no problems"),
            false => println!("problems: {}", problems.join("; ")),
        }
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A data set that was opened and looked at.
struct Set {
    path: PathBuf,
    format: Format,
    part: Part,
    checked: Checked,
    /// Files of formats that are not read, by extension.
    passed_over: Vec<(String, usize)>,
    annotations: Vec<Annotated>,
}

impl Set {
    fn open(named: &Path) -> Result<Self> {
        let (path, part) = Part::of_path(named);
        let Opened { format, dataset } = formats::open(&path, part)?;
        let annotations = match celeba::Root::find(&path) {
            Some(root) => root.annotated(&dataset)?,
            None => Vec::new(),
        };
        let passed_over = match format {
            Format::Folders | Format::Lfw | Format::Orl => folders::passed_over(&path)?,
            Format::List | Format::CelebA => Vec::new(),
        };
        let bar = ProgressBar::new(dataset.image_count() as u64);
        let checked = check::check(&dataset, &|| bar.inc(1));
        bar.finish_and_clear();
        Ok(Self { path, format, part, checked, passed_over, annotations })
    }

    fn problems(&self) -> Vec<String> {
        let without = self.annotations.iter().filter(|annotated| annotated.without > 0);
        let without = without.map(|annotated| format!("pictures without {}: {}", annotated.what, annotated.without));
        self.checked.findings.problems().into_iter().chain(without).collect()
    }

    fn json(&self) -> Value {
        let mut report = json!(self.checked.findings);
        report["path"] = json!(self.path);
        report["format"] = json!(self.format);
        report["part"] = json!(self.part);
        report["reasons"] = json!(self.checked.findings.reasons());
        report["passed_over"] = self.passed_over.iter().map(|(kind, count)| (kind.clone(), json!(count))).collect();
        report["annotations"] = json!(self.annotations);
        report
    }

    fn print(&self) {
        let Findings { people, pictures, pictures_per_person, people_with_one_picture, .. } = &self.checked.findings;
        let part = if self.part == Part::All { String::new() } else { format!(", part {:?}", self.part) };
        println!("{}: {}{part}", self.path.display(), self.format);
        println!("  {people} people, {pictures} pictures; of a person {}", spread(*pictures_per_person));
        let Findings { width, height, grey, grey_stored_as_colour, turned, .. } = self.checked.findings;
        println!("  width {}; height {}", spread(width), spread(height));
        for (count, what) in
            [(grey, "grey"), (grey_stored_as_colour, "grey stored as colour"), (turned, "turned upright by EXIF")]
        {
            if count > 0 {
                println!("  {count} {what}");
            }
        }
        for Annotated { what, with, without } in &self.annotations {
            println!("  {with} pictures with {what}, {without} without");
        }
        if !self.passed_over.is_empty() {
            let kinds: Vec<String> = self.passed_over.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            println!("  passed over, in formats that are not read: {}", kinds.join(", "));
        }
        list("people with one picture", people_with_one_picture.len(), people_with_one_picture);
        let Findings { unreadable, duplicates, .. } = &self.checked.findings;
        let reasons: Vec<String> =
            self.checked.findings.reasons().iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        list(
            &format!("unreadable pictures ({})", reasons.join(", ")),
            unreadable.len(),
            unreadable.iter().map(|one| &one.message),
        );
        for (exact, across, title) in [
            (true, true, "files under several people, so that a label is wrong"),
            (false, true, "pictures that are, nearly the same, under several people, so that a label is wrong"),
            (true, false, "files that one person has twice"),
            (false, false, "pictures that one person has, nearly the same, twice (no fault)"),
        ] {
            let groups = duplicates.iter().filter(|group| group.exact == exact && (group.people.len() > 1) == across);
            list(title, groups.clone().count(), groups.map(|group| self.describe(group)));
        }
    }

    /// The pictures of a group, relative to the data set where they lie in it.
    fn describe(&self, group: &Duplicates) -> String {
        let short = |picture: &PathBuf| picture.strip_prefix(&self.path).unwrap_or(picture).display().to_string();
        group.pictures.iter().map(short).collect::<Vec<_>>().join(" = ")
    }
}

fn print_overlap(overlap: &Overlap) {
    let Overlap { people, pictures } = overlap;
    list("people in both sets", people.len(), people.iter().map(|[one, other]| format!("{one} = {other}")));
    let describe = |group: &Duplicates| {
        let kind = if group.exact { "the same file" } else { "nearly the same" };
        let names: Vec<String> = group.pictures.iter().map(|picture| picture.display().to_string()).collect();
        format!("{} ({kind})", names.join(" = "))
    };
    list("pictures in both sets", pictures.len(), pictures.iter().map(describe));
}

/// A pairs file held against the data set; the error says why it does not fit.
struct PairsFile {
    path: PathBuf,
    list: Result<PairList, String>,
}

impl PairsFile {
    fn open(path: &Path, root: &Path) -> Self {
        Self { path: path.into(), list: PairList::open(path, root).map_err(|error| error.to_string()) }
    }

    fn problems(&self) -> Vec<String> {
        match &self.list {
            Err(message) => vec![message.clone()],
            Ok(list) => match list.people_in_several_folds().len() {
                0 => Vec::new(),
                people => vec![format!("people in several folds of the pairs: {people}")],
            },
        }
    }

    fn json(&self) -> Value {
        match &self.list {
            Ok(list) => json!({
                "path": self.path,
                "pairs": list.pairs.len(),
                "same": list.same_count(),
                "pictures": list.pictures.len(),
                "folds": list.folds,
                "people_in_several_folds": list.people_in_several_folds(),
            }),
            Err(message) => json!({ "path": self.path, "error": message }),
        }
    }

    fn print(&self) {
        if let Ok(list) = &self.list {
            let (pairs, pictures, folds) = (list.pairs.len(), list.pictures.len(), list.folds);
            println!(
                "{}: {pairs} pairs ({} of one person) of {pictures} pictures, all there; folds: {folds}",
                self.path.display(),
                list.same_count()
            );
            let leaking = list.people_in_several_folds();
            list_of_leaks(&leaking);
        }
    }
}

fn list_of_leaks(leaking: &[(String, Vec<u32>)]) {
    let describe = |(name, folds): &(String, Vec<u32>)| {
        let folds: Vec<String> = folds.iter().map(|fold| (fold + 1).to_string()).collect();
        format!("{name} in {}", folds.join(", "))
    };
    list("people in several folds", leaking.len(), leaking.iter().map(describe));
}

/// A list of people held against the data set.
struct PeopleFile {
    path: PathBuf,
    list: Result<(PeopleList, Vec<String>), String>,
}

impl PeopleFile {
    fn open(path: &Path, set: &Set) -> Self {
        let describe = |list: PeopleList| {
            let differences = set.checked.differences(&list);
            let lines = differences
                .iter()
                .map(|one| format!("{}: {} pictures by the list, {} in the data set", one.name, one.listed, one.found));
            let lines = lines.collect();
            (list, lines)
        };
        Self { path: path.into(), list: PeopleList::open(path).map(describe).map_err(|error| error.to_string()) }
    }

    fn problems(&self) -> Vec<String> {
        match &self.list {
            Err(message) => vec![message.clone()],
            Ok((_, differences)) if differences.is_empty() => Vec::new(),
            Ok((_, differences)) => vec![format!("people whose pictures are not as listed: {}", differences.len())],
        }
    }

    fn json(&self) -> Value {
        match &self.list {
            Ok((list, differences)) => json!({
                "path": self.path,
                "people": list.len(),
                "folds": list.folds.len(),
                "differences": differences,
            }),
            Err(message) => json!({ "path": self.path, "error": message }),
        }
    }

    fn print(&self) {
        if let Ok((people, differences)) = &self.list {
            println!("{}: {} people; folds: {}", self.path.display(), people.len(), people.folds.len());
            list("people whose pictures are not as listed", differences.len(), differences);
        }
    }
}

fn spread(of: Spread) -> String {
    match of {
        Spread { least, most, .. } if least == most => least.to_string(),
        Spread { least, median, most } => format!("{least} to {most}, median {median}"),
    }
}

/// A title with the first few of `count` items below it; nothing where there are none.
fn list<T: Display>(title: &str, count: usize, items: impl IntoIterator<Item = T>) {
    if count == 0 {
        return;
    }
    println!("  {title}: {count}");
    items.into_iter().take(SHOWN).for_each(|item| println!("    {item}"));
    if count > SHOWN {
        println!("    and {} more; --json lists all", count - SHOWN);
    }
}
