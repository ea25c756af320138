//! The options of a `WITH`, each taken once, so that a misspelt one is noticed.

use datafusion::sql::sqlparser::tokenizer::Location;

use crate::sql::fault::Fault;
use crate::sql::script::Create;

/// The options of one table that have not been taken yet.
pub(crate) struct Options<'a> {
    table: &'a Create,
    taken: Vec<&'static str>,
}

impl<'a> Options<'a> {
    pub(crate) fn of(table: &'a Create) -> Result<Options<'a>, Fault> {
        for (at, option) in table.options.iter().enumerate() {
            if table.options[..at].iter().any(|other| other.name == option.name) {
                return Err(Fault::new(option.at, format!("option {} is given twice", option.name)));
            }
        }
        Ok(Options { table, taken: Vec::new() })
    }

    /// The option's value and place, if it is there.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<(&'a str, Location)> {
        if !self.taken.contains(&name) {
            self.taken.push(name);
        }
        let option = self.table.options.iter().find(|option| option.name == name)?;
        Some((option.value.as_str(), option.at))
    }

    /// The value of an option that must be there.
    pub(crate) fn need(&mut self, name: &'static str, example: &str) -> Result<(&'a str, Location), Fault> {
        let missing = || Fault::new(self.table.at, format!("table {} has no option {name}", self.table.name));
        let hint = format!("write '{name}' = '{example}' in its WITH");
        let fault = missing().hint(hint);
        self.take(name).ok_or(fault)
    }

    /// Takes an option that may have one value only.
    pub(crate) fn only(&mut self, name: &'static str, allowed: &[&str]) -> Result<(), Fault> {
        match self.take(name) {
            Some((value, at)) if !allowed.contains(&value) => {
                Err(Fault::new(at, format!("{name} is '{value}'")).hint(format!("write '{name}' = '{}'", allowed.join("' or '"))))
            }
            _ => Ok(()),
        }
    }

    /// Takes options that change nothing here and are there for other engines.
    pub(crate) fn pass_over(&mut self, names: &[&'static str]) {
        self.taken.extend(names);
    }

    /// Refuses what nobody has taken.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        match self.table.options.iter().find(|option| !self.taken.contains(&option.name.as_str())) {
            None => Ok(()),
            Some(option) => {
                let fault = Fault::new(option.at, format!("table {} has an unknown option {}", self.table.name, option.name));
                Err(fault.hint(format!("the options are {}", self.taken.join(", "))))
            }
        }
    }
}
