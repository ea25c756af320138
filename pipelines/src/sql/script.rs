//! The statements of a job file as they are written: `CREATE TABLE` in Arroyo's dialect, `CREATE VIEW` and one `INSERT`.

use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType as SqlType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Interval, Query, Spanned, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};

use crate::functions::width_us;
use crate::limits::SQL_BYTES_MAX;
use crate::sql::fault::Fault;
use crate::sql::positions;

/// A whole job file.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) tables: Vec<Create>,
    pub(crate) views: Vec<View>,
    pub(crate) insert: Insert,
}

/// `CREATE VIEW name AS SELECT ...`.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) at: Location,
    pub(crate) query: Box<Query>,
}

/// `CREATE TABLE`.
#[derive(Debug, Clone)]
pub(crate) struct Create {
    pub(crate) name: String,
    pub(crate) at: Location,
    pub(crate) columns: Vec<ColumnDef>,
    pub(crate) watermark: Option<Watermark>,
    pub(crate) options: Vec<SqlOption>,
}

/// A column, and what it is read from when that is not the event's data.
#[derive(Debug, Clone)]
pub(crate) struct ColumnDef {
    pub(crate) name: String,
    pub(crate) at: Location,
    pub(crate) sql_type: SqlType,
    pub(crate) metadata: Option<(String, Location)>,
    /// `GENERATED ALWAYS AS (...)`.
    pub(crate) generated: Option<(Expr, Location)>,
}

/// `WATERMARK FOR column AS column - INTERVAL '...'`.
#[derive(Debug, Clone)]
pub(crate) struct Watermark {
    pub(crate) column: String,
    pub(crate) at: Location,
    pub(crate) delay_us: i64,
}

/// `name = 'value'` of a `WITH`.
#[derive(Debug, Clone)]
pub(crate) struct SqlOption {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) at: Location,
}

/// `INSERT INTO name SELECT ...`.
#[derive(Debug, Clone)]
pub(crate) struct Insert {
    pub(crate) into: String,
    pub(crate) at: Location,
    pub(crate) query: Box<Query>,
    pub(crate) query_at: Location,
}

/// The comment that a job file begins with.
pub(crate) fn leading_comment(sql: &str) -> String {
    let lines = sql.lines().map(str::trim).skip_while(|line| line.is_empty());
    let comment: Vec<&str> = lines.map_while(|line| line.strip_prefix("--")).map(str::trim).collect();
    comment.join("\n").trim().to_owned()
}

pub(crate) fn parse(sql: &str) -> Result<Script, Fault> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(Fault::nowhere(format!("the file has {} bytes, more than the {SQL_BYTES_MAX} allowed", sql.len())));
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|error| Fault::new(error.location, error.message))?;
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let (mut tables, mut views, mut insert) = (Vec::<Create>::new(), Vec::<View>::new(), None::<Insert>);
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        let next = parser.peek_token();
        let at = next.span.start;
        match next.token {
            Token::EOF => break,
            Token::Word(word) if word.keyword == Keyword::CREATE => {
                parser.next_token();
                let (name, at) = if consume_word(&mut parser, "view") || is_query(&parser) {
                    let view = view(&mut parser)?;
                    let key = (view.name.clone(), view.at);
                    views.push(view);
                    key
                } else {
                    let table = create(&mut parser)?;
                    let key = (table.name.clone(), table.at);
                    tables.push(table);
                    key
                };
                let names = tables.iter().map(|table| &table.name).chain(views.iter().map(|view| &view.name));
                if names.filter(|other| **other == name).count() > 1 {
                    return Err(Fault::new(at, format!("table {name} is already there")));
                }
            }
            Token::Word(word) if word.keyword == Keyword::INSERT => {
                if insert.is_some() {
                    return Err(Fault::new(at, "a second INSERT").hint("one job has one sink: write a file for each"));
                }
                insert = Some(insert_into(&mut parser)?);
            }
            other => {
                let fault = Fault::new(at, format!("a job file has CREATE TABLE, CREATE VIEW and INSERT INTO statements, not {other}"));
                return Err(fault.hint("end each statement with ;"));
            }
        }
    }
    match insert {
        Some(insert) => Ok(Script { tables, views, insert }),
        None => Err(Fault::nowhere("the job writes nothing").hint("end the file with INSERT INTO sink SELECT ... FROM source")),
    }
}

fn insert_into(parser: &mut Parser<'_>) -> Result<Insert, Fault> {
    parser.expect_keywords(&[Keyword::INSERT, Keyword::INTO]).map_err(Fault::parser)?;
    let at = parser.peek_token().span.start;
    let into = identifier(parser)?;
    let next = parser.peek_token();
    if next.token == Token::LParen {
        let fault = Fault::new(next.span.start, "INSERT with a list of columns");
        return Err(fault.hint("name the columns in the SELECT: they go to the sink's columns in order"));
    }
    let query = read_query(parser)?;
    Ok(Insert { into, at, query, query_at: next.span.start })
}

fn read_query(parser: &mut Parser<'_>) -> Result<Box<Query>, Fault> {
    let mut query = parser.parse_query().map_err(Fault::parser)?;
    positions::read(&mut query);
    Ok(query)
}

/// Whether `TABLE name AS` comes next: a table of what a query gives, which is a view here.
fn is_query(parser: &Parser<'_>) -> bool {
    let is = |nth: usize, keyword: Keyword| matches!(parser.peek_nth_token(nth).token, Token::Word(word) if word.keyword == keyword);
    is(0, Keyword::TABLE) && is(2, Keyword::AS)
}

fn view(parser: &mut Parser<'_>) -> Result<View, Fault> {
    let _ = parser.parse_keyword(Keyword::TABLE);
    let at = parser.peek_token().span.start;
    let name = identifier(parser)?;
    parser.expect_keyword(Keyword::AS).map_err(Fault::parser)?;
    let query = read_query(parser)?;
    Ok(View { name, at, query })
}

fn create(parser: &mut Parser<'_>) -> Result<Create, Fault> {
    parser.expect_keyword(Keyword::TABLE).map_err(Fault::parser)?;
    let at = parser.peek_token().span.start;
    let mut table = Create { name: identifier(parser)?, at, columns: Vec::new(), watermark: None, options: Vec::new() };
    if parser.consume_token(&Token::LParen) {
        while !parser.consume_token(&Token::RParen) {
            match is_word(parser, "watermark") {
                true => table.watermark = Some(watermark(parser)?),
                false => table.columns.push(column(parser)?),
            }
            if !parser.consume_token(&Token::Comma) {
                parser.expect_token(&Token::RParen).map_err(Fault::parser)?;
                break;
            }
        }
    }
    if !is_word(parser, "with") {
        let fault = Fault::new(at, format!("table {} has no WITH: a table in memory", table.name));
        return Err(fault.hint(format!("write CREATE VIEW {} AS SELECT ..., or say where it is: WITH (connector = 'kafka', ...)", table.name)));
    }
    parser.expect_keyword(Keyword::WITH).map_err(Fault::parser)?;
    parser.expect_token(&Token::LParen).map_err(Fault::parser)?;
    while !parser.consume_token(&Token::RParen) {
        table.options.push(option(parser)?);
        if !parser.consume_token(&Token::Comma) {
            parser.expect_token(&Token::RParen).map_err(Fault::parser)?;
            break;
        }
    }
    Ok(table)
}

fn column(parser: &mut Parser<'_>) -> Result<ColumnDef, Fault> {
    let at = parser.peek_token().span.start;
    let name = identifier(parser)?;
    if name.starts_with("__") {
        return Err(Fault::new(at, format!("column {name} begins with __, which the engine keeps for itself")));
    }
    let sql_type = parser.parse_data_type().map_err(Fault::parser)?;
    let mut column = ColumnDef { name, at, sql_type, metadata: None, generated: None };
    loop {
        if consume_word(parser, "metadata") {
            parser.expect_keyword(Keyword::FROM).map_err(Fault::parser)?;
            let at = parser.peek_token().span.start;
            column.metadata = Some((parser.parse_literal_string().map_err(Fault::parser)?, at));
        } else if consume_word(parser, "generated") {
            parser.expect_keywords(&[Keyword::ALWAYS, Keyword::AS]).map_err(Fault::parser)?;
            let at = parser.peek_token().span.start;
            let expr = parser.parse_expr().map_err(Fault::parser)?;
            match metadata_call(&expr) {
                // How Arroyo wrote METADATA FROM before it had it.
                Some(name) => column.metadata = Some((name, at)),
                None => column.generated = Some((expr, at)),
            }
            // Arroyo wants the word; what is computed is computed either way.
            consume_word(parser, "stored");
        } else if consume_word(parser, "not") {
            parser.expect_keyword(Keyword::NULL).map_err(Fault::parser)?;
        } else if consume_word(parser, "primary") {
            parser.expect_keyword(Keyword::KEY).map_err(Fault::parser)?;
        } else {
            return Ok(column);
        }
    }
}

/// The name in `metadata('name')`.
fn metadata_call(expr: &Expr) -> Option<String> {
    let function = match expr {
        Expr::Nested(inner) => return metadata_call(inner),
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("metadata") => function,
        _ => return None,
    };
    let FunctionArguments::List(list) = &function.args else { return None };
    match &list.args[..] {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] => match &value.value {
            Value::SingleQuotedString(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// How far a watermark stays behind its column when nothing is said of it, as in Arroyo.
pub(crate) const DELAY_US: i64 = 1_000_000;

fn watermark(parser: &mut Parser<'_>) -> Result<Watermark, Fault> {
    parser.next_token();
    parser.expect_keyword(Keyword::FOR).map_err(Fault::parser)?;
    let at = parser.peek_token().span.start;
    let column = identifier(parser)?;
    if !parser.parse_keyword(Keyword::AS) {
        return Ok(Watermark { column, at, delay_us: DELAY_US });
    }
    let delay_at = parser.peek_token().span.start;
    let delay = parser.parse_expr().map_err(Fault::parser)?;
    let wrong = || {
        let fault = Fault::new(delay_at, format!("a watermark of {delay}"));
        fault.hint(format!("write WATERMARK FOR {column} AS {column} - INTERVAL '30 seconds'"))
    };
    let delay_us = delay_us(&delay, &column).ok_or_else(wrong)?;
    Ok(Watermark { column, at, delay_us })
}

/// How far an expression is behind a column: `column` itself, or `column - INTERVAL '...'`.
pub(crate) fn delay_us(delay: &Expr, column: &str) -> Option<i64> {
    match delay {
        Expr::Nested(inner) => delay_us(inner, column),
        Expr::Identifier(of) if lower(of) == column => Some(0),
        Expr::BinaryOp { left, op: BinaryOperator::Minus, right } => match (left.as_ref(), right.as_ref()) {
            (Expr::Identifier(of), Expr::Interval(interval)) if lower(of) == column => interval_us(interval),
            _ => None,
        },
        _ => None,
    }
}

fn interval_us(interval: &Interval) -> Option<i64> {
    let Expr::Value(value) = interval.value.as_ref() else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    let unit = interval.leading_field.as_ref().map(ToString::to_string).unwrap_or_default();
    let parsed = parse_interval_month_day_nano(format!("{text} {unit}").trim_end()).ok()?;
    width_us(&ScalarValue::IntervalMonthDayNano(Some(parsed))).ok()
}

fn option(parser: &mut Parser<'_>) -> Result<SqlOption, Fault> {
    let key = parser.next_token();
    let name = match key.token {
        Token::SingleQuotedString(text) => text,
        Token::Word(word) => word.value,
        other => return Err(Fault::new(key.span.start, format!("an option begins with its name, not with {other}"))),
    };
    parser.expect_token(&Token::Eq).map_err(Fault::parser)?;
    let value = parser.next_token();
    let text = match value.token {
        Token::SingleQuotedString(text) | Token::Number(text, _) => text,
        other => {
            let fault = Fault::new(value.span.start, format!("option {name} is {other}"));
            return Err(fault.hint(format!("write '{name}' = '...'")));
        }
    };
    Ok(SqlOption { name, value: text, at: key.span.start })
}

fn identifier(parser: &mut Parser<'_>) -> Result<String, Fault> {
    parser.parse_identifier().map(|ident| lower(&ident)).map_err(Fault::parser)
}

fn consume_word(parser: &mut Parser<'_>, expected: &str) -> bool {
    let found = is_word(parser, expected);
    if found {
        parser.next_token();
    }
    found
}

fn is_word(parser: &Parser<'_>, expected: &str) -> bool {
    matches!(parser.peek_token().token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
}

/// A name as the planner sees it: in lower case unless it is quoted.
pub(crate) fn lower(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// Where a piece of the text begins, or `otherwise` when the parser does not say.
pub(crate) fn start_of(piece: &impl Spanned, otherwise: Location) -> Location {
    match piece.span().start {
        Location { line: 0, .. } => otherwise,
        known => known,
    }
}
