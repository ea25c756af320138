//! Personal data is masked at the door, before anything is stored.
//!
//! Which fields: those that the type marks as personal, and every text that the type does not describe. Identifiers and
//! codes that it describes as not personal stay, or a work order's number that happens to look like a bank card would
//! lose its meaning.

use schemas::TypeDef;
use schemas::pii;
use serde_json::Value;

/// The field that says who spoke. Masked like the rest, callers would all become one; as a token each stays one caller.
const CALLER: &str = "caller";

/// Masks the data of one event.
pub fn mask(data: &mut Value, def: &TypeDef, secret: &[u8; 32]) {
    walk(data, &mut String::new(), def, secret);
}

fn walk(value: &mut Value, pointer: &mut String, def: &TypeDef, secret: &[u8; 32]) {
    let length = pointer.len();
    match value {
        Value::String(text) => {
            if wanted(def, pointer) {
                replace(text, pointer, secret);
            }
        }
        Value::Array(items) => {
            for item in items {
                walk(item, pointer, def, secret);
            }
        }
        Value::Object(members) => {
            for (name, item) in members {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                walk(item, pointer, def, secret);
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn wanted(def: &TypeDef, pointer: &str) -> bool {
    pointer.strip_prefix('/') == Some(CALLER) || def.columns.iter().find(|column| column.path == pointer).is_none_or(|column| column.pii)
}

/// `pointer` is that of the text, without the places in arrays.
fn replace(text: &mut String, pointer: &str, secret: &[u8; 32]) {
    let (masked, spans) = pii::mask(text);
    if spans.is_empty() {
        return;
    }
    let new = if pointer.strip_prefix('/') == Some(CALLER) {
        let digest = blake3::keyed_hash(secret, text.trim().as_bytes());
        format!("caller-{}", &digest.to_hex()[..16])
    } else {
        masked.into_owned()
    };
    *text = new;
}
