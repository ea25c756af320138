//! The questions that belong to each service: data that people keep, and answers checked against it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Service, Wrong};

/// The questions that ship.
const BUILTIN: &str = include_str!("forms.toml");

/// All questions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forms {
    #[serde(default, rename = "question")]
    questions: Vec<Question>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    services: Vec<String>,
    code: String,
    datatype: Datatype,
    #[serde(default)]
    required: bool,
    zh: String,
    en: String,
    #[serde(default)]
    values: Vec<Choice>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Datatype {
    String,
    Number,
    Datetime,
    Text,
    SingleValueList,
    MultiValueList,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    key: String,
    zh: String,
    en: String,
}

impl Default for Forms {
    fn default() -> Forms {
        Forms::parse(BUILTIN).expect("the shipped questions are checked by a test")
    }
}

impl Datatype {
    fn name(self) -> &'static str {
        match self {
            Datatype::String => "string",
            Datatype::Number => "number",
            Datatype::Datetime => "datetime",
            Datatype::Text => "text",
            Datatype::SingleValueList => "singlevaluelist",
            Datatype::MultiValueList => "multivaluelist",
        }
    }

    fn is_list(self) -> bool {
        matches!(self, Datatype::SingleValueList | Datatype::MultiValueList)
    }
}

impl Question {
    fn is_of(&self, service: &Service) -> bool {
        let names = [Some("*"), Some(service.code.as_str()), service.scenario.as_deref()];
        self.services.iter().any(|wanted| names.contains(&Some(wanted.as_str())))
    }

    /// The answer in words, or why it is none.
    fn answer(&self, given: &[String]) -> Result<String, Wrong> {
        let wrong = |value: &str, en: &str, zh: &str| {
            let shown: String = value.chars().take(60).collect();
            Wrong::bad(format!("attribute[{}]: {shown:?} is {en}", self.code), format!("attribute[{}]：{shown:?} {zh}", self.code))
        };
        if given.len() > 1 && self.datatype != Datatype::MultiValueList {
            return Err(wrong(&given.join(", "), "more than one value", "多于一个值"));
        }
        let mut words = Vec::new();
        for value in given {
            match self.datatype {
                Datatype::String | Datatype::Text => words.push(value.clone()),
                Datatype::Number => match value.parse::<f64>() {
                    Ok(number) if number.is_finite() => words.push(value.clone()),
                    _ => return Err(wrong(value, "no number", "不是数字")),
                },
                Datatype::Datetime => match schemas::time::parse_us(value) {
                    Ok(_) => words.push(value.clone()),
                    Err(_) => return Err(wrong(value, "no time such as 2026-11-23T08:00:00Z", "不是形如 2026-11-23T08:00:00Z 的时间")),
                },
                Datatype::SingleValueList | Datatype::MultiValueList => match self.values.iter().find(|choice| choice.key == *value) {
                    Some(choice) => words.push(format!("{} {}", choice.zh, choice.en)),
                    None => return Err(wrong(value, "none of the values of this list", "不在可选值中")),
                },
            }
        }
        Ok(words.join(", "))
    }
}

impl Forms {
    /// Reads questions.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Forms, String> {
        let forms: Forms = toml::from_str(text).map_err(|error| error.to_string())?;
        for question in &forms.questions {
            if question.datatype.is_list() == question.values.is_empty() {
                return Err(format!("question {:?}: lists, and only lists, have values", question.code));
            }
        }
        Ok(forms)
    }

    /// Whether a service has questions.
    pub fn has(&self, service: &Service) -> bool {
        self.questions.iter().any(|question| question.is_of(service))
    }

    /// The questions of a service, as the standard writes them.
    pub fn attributes(&self, service: &Service) -> Vec<Value> {
        let questions = self.questions.iter().filter(|question| question.is_of(service));
        let attribute = |(order, question): (usize, &Question)| {
            let mut attribute = json!({
                "variable": true,
                "code": question.code,
                "datatype": question.datatype.name(),
                "required": question.required,
                "datatype_description": "",
                "order": order + 1,
                "description": format!("{} / {}", question.zh, question.en),
            });
            if question.datatype.is_list() {
                attribute["values"] = question.values.iter().map(|choice| json!({"key": choice.key, "name": format!("{} / {}", choice.zh, choice.en)})).collect();
            }
            attribute
        };
        questions.enumerate().map(attribute).collect()
    }

    /// Checks answers; gives each question that was answered with its answer in words.
    ///
    /// # Errors
    /// Which answer is missing, or is none.
    pub fn answers(&self, service: &Service, given: &[(String, Vec<String>)]) -> Result<Vec<(String, String)>, Wrong> {
        let questions: Vec<&Question> = self.questions.iter().filter(|question| question.is_of(service)).collect();
        if let Some((code, _)) = given.iter().find(|(code, _)| !questions.iter().any(|question| question.code == *code)) {
            return Err(Wrong::bad(format!("service {} has no attribute {code:?}", service.code), format!("服务 {} 没有属性 {code:?}", service.code)));
        }
        let mut answers = Vec::new();
        for question in questions {
            match given.iter().find(|(code, values)| *code == question.code && values.iter().any(|value| !value.is_empty())) {
                Some((_, values)) => answers.push((format!("{} {}", question.zh, question.en), question.answer(values)?)),
                None if question.required => {
                    return Err(Wrong::bad(format!("attribute[{}] is required", question.code), format!("缺少必填属性 attribute[{}]", question.code)));
                }
                None => {}
            }
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(code: &str, scenario: Option<&str>) -> Service {
        Service { code: code.into(), scenario: scenario.map(str::to_owned), ..Service::default() }
    }

    #[test]
    fn a_service_has_the_questions_of_its_scenario() {
        let forms = Forms::default();
        let codes = |service: &Service| forms.attributes(service).iter().map(|question| question["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(codes(&service("flooding", Some("urban_flooding"))), ["since", "danger", "depth_cm"]);
        assert_eq!(codes(&service("noise", None)), ["since", "danger"]);
    }

    #[test]
    fn answers_are_checked() {
        let forms = Forms::parse(&BUILTIN.replacen("datatype = \"datetime\"", "datatype = \"datetime\"\nrequired = true", 1)).unwrap();
        let garbage = service("garbage", Some("garbage"));
        let answers = |given: &[(&str, &[&str])]| {
            let given: Vec<_> = given.iter().map(|(code, values)| ((*code).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())).collect();
            forms.answers(&garbage, &given).map_err(|wrong| wrong.en)
        };
        let since: (&str, &[&str]) = ("since", &["2026-11-23T08:00:00Z"]);
        assert_eq!(answers(&[since, ("kind", &["bulky", "household"])]).unwrap()[1].1, "大件 bulky, 生活垃圾 household");
        for (given, expected) in [
            (vec![], "attribute[since] is required"),
            (vec![("since", &["soon"][..])], "no time"),
            (vec![since, ("danger", &["yes"][..])], "none of the values"),
            (vec![since, ("danger", &["no", "trapped"][..])], "more than one value"),
            (vec![since, ("colour", &["red"][..])], "no attribute"),
        ] {
            let error = answers(&given).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn wrong_questions_are_refused() {
        assert!(Forms::parse(&BUILTIN.replace("singlevaluelist", "list")).is_err());
        assert!(Forms::parse("[[question]]\nservices=[\"*\"]\ncode=\"a\"\ndatatype=\"multivaluelist\"\nzh=\"\"\nen=\"\"").is_err());
        assert!(Forms::parse("").is_ok_and(|forms| !forms.has(&service("a", None))));
    }
}
