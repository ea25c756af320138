use arroyo_udf_plugin::udf;

/// The severity word of CAP 1.2 for a warning level: 1 (red) to 4 (blue); `Unknown` for any other number.
#[udf]
fn cap_severity(level: i32) -> String {
    match level {
        1 => "Extreme",
        2 => "Severe",
        3 => "Moderate",
        4 => "Minor",
        _ => "Unknown",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_words() {
        assert_eq!([1, 2, 3, 4, 0, -1, 5].map(cap_severity), ["Extreme", "Severe", "Moderate", "Minor", "Unknown", "Unknown", "Unknown"]);
    }
}
