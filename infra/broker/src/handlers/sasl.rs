//! SASL/PLAIN: SaslHandshake and SaslAuthenticate.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse};
use tracing::{info, warn};

use super::{code, text};
use crate::config::Sasl;
use crate::server::Session;

const MECHANISM: &str = "PLAIN";

/// Agrees on a mechanism.
pub fn handshake(session: &mut Session, sasl: Option<&Sasl>, request: &SaslHandshakeRequest) -> SaslHandshakeResponse {
    let response = SaslHandshakeResponse::default();
    if sasl.is_none() {
        // Without users nobody can log in, and nobody has to.
        return response.with_error_code(code(ResponseError::UnsupportedSaslMechanism));
    }
    let response = response.with_mechanisms(vec![text(MECHANISM)]);
    if request.mechanism.as_str() != MECHANISM {
        return response.with_error_code(code(ResponseError::UnsupportedSaslMechanism));
    }
    session.handshaken = true;
    response
}

/// Checks name and password.
pub fn authenticate(session: &mut Session, sasl: Option<&Sasl>, request: &SaslAuthenticateRequest) -> SaslAuthenticateResponse {
    let refused = |e: ResponseError, why: &str| {
        SaslAuthenticateResponse::default().with_error_code(code(e)).with_error_message(Some(text(why)))
    };
    let (Some(sasl), true) = (sasl, session.handshaken) else {
        return refused(ResponseError::IllegalSaslState, "a SaslHandshake comes first");
    };
    match check(sasl, &request.auth_bytes) {
        Some(user) => {
            info!(peer = %session.peer, user, "logged in");
            session.logged_in = true;
            SaslAuthenticateResponse::default()
        }
        None => {
            warn!(peer = %session.peer, "refused a log-in");
            session.failed = true;
            refused(ResponseError::SaslAuthenticationFailed, "unknown user or wrong password")
        }
    }
}

/// The user, if the password is right: `authorization NUL name NUL password`.
fn check(sasl: &Sasl, token: &[u8]) -> Option<String> {
    let mut parts = token.split(|b| *b == 0);
    let (authorize_as, name, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?;
    if !authorize_as.is_empty() && authorize_as != name.as_bytes() {
        return None;
    }
    // An unknown name takes as long as a known one.
    let known = sasl.users.get(name);
    let right = equal(known.map_or(b"", |p| p.as_bytes()), password);
    (known.is_some() && right).then(|| name.to_owned())
}

/// Compares without telling by its time where the difference is.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let mut different = a.len() ^ b.len();
    for i in 0..b.len() {
        different |= usize::from(a.get(i).copied().unwrap_or(0) ^ b[i]);
    }
    different == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_is_right() {
        let sasl = Sasl { users: [("ada".to_owned(), "secret".to_owned())].into() };
        let user = |token: &[u8]| check(&sasl, token);
        assert_eq!(user(b"\0ada\0secret").as_deref(), Some("ada"));
        assert_eq!(user(b"ada\0ada\0secret").as_deref(), Some("ada"));
        for bad in [&b"\0ada\0secre"[..], b"\0ada\0secrets", b"\0ada\0", b"\0bob\0secret", b"eve\0ada\0secret", b"", b"\0\0", b"\0ada\0secret\0", b"\0bob\0"] {
            assert_eq!(user(bad), None, "{bad:?}");
        }
    }
}
