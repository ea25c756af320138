//! Writes user-defined functions for the city brain: each shared object with its manifest beside it.
//!
//! `udf-manifest <folder of built libraries> <folder to write to> <folder of a function>...`
//!
//! Names, types and nullability are read from the source by Arroyo's own parser. SQL types that a Rust type does not tell
//! apart stand in the doc comment: `SQL: name(argument TYPE, ...) RETURNS TYPE`; files that are read, in `Data: file, ...`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arroyo_udf_common::parse::{inner_type, NullableType, ParsedUdf, UdfType};
use arroyo_udf_plugin::arrow::datatypes::DataType;
use serde_json::{json, Value};
use syn::{Expr, ExprLit, FnArg, Item, ItemFn, Lit, Meta, Pat};

type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [built, out, functions @ ..] = &arguments[..] else {
        eprintln!("say: udf-manifest <folder of built libraries> <folder to write to> <folder of a function>...");
        return ExitCode::from(2);
    };
    let written = functions.iter().try_for_each(|folder| write(folder, built, out).map(|name| println!("{name}")));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes one function and says its name.
fn write(folder: &Path, built: &Path, out: &Path) -> Result<String> {
    let source = folder.join("src/lib.rs");
    let text = read(&source)?;
    let text = std::str::from_utf8(&text).map_err(|error| format!("{}: {error}", source.display()))?;
    let (item, parsed) = function(text).map_err(|error| format!("{}: {error}", source.display()))?;
    let name = parsed.name.clone();
    let mut manifest = describe(&item, &parsed).map_err(|error| format!("{}: {error}", source.display()))?;
    let library = read(&built.join(format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)))?;
    let library_name = format!("{name}{}", std::env::consts::DLL_SUFFIX);
    put(&out.join(&library_name), &library)?;
    manifest["library"] = json!(library_name);
    manifest["digest"] = json!(blake3::hash(&library).to_hex().as_str());
    manifest["data"] = data(&item, folder, out)?;
    let manifest = serde_json::to_string_pretty(&manifest).expect("a manifest is plain JSON");
    put(&out.join(format!("{name}.udf.json")), format!("{manifest}\n").as_bytes())?;
    Ok(name)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| format!("could not read {}: {error}", path.display()))
}

/// Writes a file beside its place and moves it there, so that nobody ever maps half of it.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let say = |error: std::io::Error| format!("could not write {}: {error}", path.display());
    std::fs::create_dir_all(path.parent().expect("a file stands in a folder")).map_err(say)?;
    let beside = path.with_extension("part");
    std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path)).map_err(say)
}

/// The one function of a source that is marked `#[udf]`.
fn function(text: &str) -> Result<(ItemFn, ParsedUdf)> {
    let file = syn::parse_file(text).map_err(|error| error.to_string())?;
    let is_udf = |item: &ItemFn| item.attrs.iter().any(|it| it.path().segments.last().is_some_and(|last| last.ident == "udf"));
    let mut marked = file.items.into_iter().filter_map(|item| match item {
        Item::Fn(item) if is_udf(&item) => Some(item),
        _ => None,
    });
    match (marked.next(), marked.next()) {
        (Some(item), None) => {
            let parsed = ParsedUdf::try_parse(&item).map_err(|error| error.to_string())?;
            Ok((item, parsed))
        }
        (None, _) => Err("no function is marked #[udf]".into()),
        (Some(_), Some(_)) => Err("more than one function is marked #[udf]: give each its own crate".into()),
    }
}

fn describe(item: &ItemFn, parsed: &ParsedUdf) -> Result<Value> {
    let sql = Sql::of(item)?;
    let names = item.sig.inputs.iter().map(argument_name).collect::<Result<Vec<String>>>()?;
    let described = names.iter().zip(&parsed.args).map(|(name, kind)| {
        let element = inner_type(&kind.data_type);
        let nullable = match &kind.data_type {
            DataType::List(field) => field.is_nullable(),
            _ => kind.nullable,
        };
        let kind = NullableType::new(element.unwrap_or(kind.data_type.clone()), nullable);
        let declared = sql.as_ref().map(|sql| sql.argument(name)).transpose()?;
        let mut described = type_of(&kind, declared)?;
        described["name"] = json!(name);
        Ok(described)
    });
    let arguments = described.collect::<Result<Vec<Value>>>()?;
    if arguments.is_empty() {
        return Err("a function needs an argument".into());
    }
    if parsed.vec_arguments != 0 && parsed.vec_arguments != arguments.len() {
        return Err("an aggregate takes a Vec in every argument".into());
    }
    let mut manifest = json!({
        "name": parsed.name,
        "kind": if parsed.vec_arguments > 0 { "aggregate" } else if parsed.udf_type.is_async() { "async" } else { "scalar" },
        "description": prose(item),
        "arguments": arguments,
        "returns": type_of(&parsed.ret_type, sql.as_ref().map(|sql| sql.returns.as_str()))?,
    });
    if let UdfType::Async(options) = parsed.udf_type {
        manifest["in_flight"] = json!(options.max_concurrency);
    }
    Ok(manifest)
}

fn argument_name(argument: &FnArg) -> Result<String> {
    match argument {
        FnArg::Typed(typed) => match &*typed.pat {
            Pat::Ident(name) => Ok(name.ident.to_string()),
            _ => Err("an argument needs a plain name".into()),
        },
        FnArg::Receiver(_) => Err("a function takes no self".into()),
    }
}

/// A Rust type as a manifest tells it; `declared` is the SQL type from the doc comment.
fn type_of(kind: &NullableType, declared: Option<&str>) -> Result<Value> {
    let (passed_as, usual) = match &kind.data_type {
        DataType::Utf8 => ("text", "TEXT"),
        DataType::Binary => ("bytes", "BINARY"),
        DataType::Int32 => ("i32", "INT"),
        DataType::Int64 => ("i64", "BIGINT"),
        DataType::UInt32 => ("u32", "BIGINT"),
        DataType::UInt64 => ("u64", "BIGINT"),
        DataType::Float32 => ("f32", "DOUBLE"),
        DataType::Float64 => ("f64", "DOUBLE"),
        other => return Err(format!("{other} cannot cross: use i32, i64, u32, u64, f32, f64, &str or &[u8]")),
    };
    Ok(json!({"type": declared.unwrap_or(usual), "passed_as": passed_as, "nullable": kind.nullable}))
}

/// The lines of a function's doc comment.
fn doc(item: &ItemFn) -> Vec<String> {
    let line = |attribute: &syn::Attribute| match &attribute.meta {
        Meta::NameValue(it) if it.path.is_ident("doc") => match &it.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    };
    item.attrs.iter().filter_map(line).collect()
}

fn prose(item: &ItemFn) -> String {
    let lines = doc(item);
    let said = lines.iter().filter(|line| !line.starts_with("SQL:") && !line.starts_with("Data:") && !line.is_empty());
    said.cloned().collect::<Vec<String>>().join(" ")
}

/// The files that a function reads, copied beside its library, with their digests.
fn data(item: &ItemFn, folder: &Path, out: &Path) -> Result<Value> {
    let lines = doc(item);
    let names = lines.iter().filter_map(|line| line.strip_prefix("Data:")).flat_map(|names| names.split(',')).map(str::trim);
    let file = |name: &str| {
        let bytes = read(&folder.join(name))?;
        put(&out.join(name), &bytes)?;
        Ok(json!({"file": name, "digest": blake3::hash(&bytes).to_hex().as_str()}))
    };
    names.map(file).collect::<Result<Vec<Value>>>().map(Value::from)
}

/// What a doc comment says of SQL types.
struct Sql {
    arguments: Vec<(String, String)>,
    returns: String,
}

impl Sql {
    fn of(item: &ItemFn) -> Result<Option<Sql>> {
        let lines = doc(item);
        let Some(line) = lines.iter().find_map(|line| line.strip_prefix("SQL:")) else {
            return Ok(None);
        };
        let wrong = || format!("`SQL:{line}` should be `SQL: {}(argument TYPE, ...) RETURNS TYPE`", item.sig.ident);
        let (head, rest) = line.trim().split_once('(').ok_or_else(wrong)?;
        let (arguments, returns) = rest.rsplit_once(')').ok_or_else(wrong)?;
        let returns = returns.trim().strip_prefix("RETURNS ").ok_or_else(wrong)?.trim().to_owned();
        let pair = |text: &str| text.trim().split_once(' ').map(|(name, kind)| (name.to_owned(), kind.trim().to_owned()));
        let arguments = arguments.split(',').map(pair).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        let whole = item.sig.ident == head.trim() && arguments.len() == item.sig.inputs.len();
        whole.then_some(Some(Sql { arguments, returns })).ok_or_else(wrong)
    }

    fn argument(&self, name: &str) -> Result<&str> {
        let found = self.arguments.iter().find(|(argument, _)| argument == name);
        found.map(|(_, kind)| kind.as_str()).ok_or_else(|| format!("the SQL line does not name {name}"))
    }
}
