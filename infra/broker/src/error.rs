//! Why a broker does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a broker does not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the folder.
    #[error("{dir} is in use by another broker{holder}; stop that process, or give this one another folder")]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// Who, as far as known.
        holder: String,
    },
    /// A newer program wrote the folder.
    #[error("{dir} was written in format {found}, but this program knows formats up to {known}; start the newer program again, or give this one another folder")]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Not a broker's folder, or a damaged one.
    #[error("{path} cannot be understood: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Open to the network without passwords.
    #[error("{addr} can be reached from other machines, so users and passwords (SASL/PLAIN) are required; set them, or listen on 127.0.0.1")]
    Unprotected {
        /// The address.
        addr: SocketAddr,
    },
    /// The port.
    #[error("could not listen on {addr}; is another program using it?")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disk.
    #[error("could not {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Numbers that cannot be.
    #[error("the configuration is not usable: {0}")]
    Config(String),
}

impl StartError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
