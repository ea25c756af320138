//! Listening, and stopping without cutting anybody off.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use super::{Gateway, Remote, router};
use crate::connections;

/// Headers that a request may have before the connection is closed without a word. Fewer than that, but too many for an
/// event, are answered and kept like every other refusal.
const HEADERS_MAX: usize = 20_000;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a client may take for a request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// Connections at once.
const CONNECTIONS_MAX: usize = 4_096;

/// Why the port cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is none.
    #[error("{listen:?} is no address to listen on, such as 127.0.0.1:8400 / 监听地址无效")]
    Address {
        /// The address.
        listen: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Beyond loopback without a token.
    #[error(
        "refusing to listen on {addr}: it can be reached from other machines, and no token is configured; set `http_token` in the configuration, let people in (`citybrain people add`), or listen on 127.0.0.1 / 拒绝监听 {addr}：其他机器可以访问而没有配置令牌；请设置 http_token、用 citybrain people add 增加人员，或只监听 127.0.0.1"
    )]
    Unprotected {
        /// The address.
        addr: SocketAddr,
    },
    /// Beyond loopback while nobody has to show a key.
    #[error(
        "refusing to listen for MQTT on {addr}: it can be reached from other machines, and devices need no keys; set `devices = \"registered\"` in the configuration, or listen on 127.0.0.1 / 拒绝在 {addr} 监听 MQTT：其他机器可以访问而设备无需密钥；请设置 devices = \"registered\" 或只监听 127.0.0.1"
    )]
    OpenToAll {
        /// The address.
        addr: SocketAddr,
    },
    /// The port is taken, or not ours to take.
    #[error("could not listen on {addr}; is another citybrain running? / 无法监听 {addr}，是否已有 citybrain 在运行？")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// A port that is ours.
pub struct Listener {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// Takes the port. Refuses addresses beyond loopback when nobody has a token.
    pub async fn bind(listen: &str, has_token: bool) -> Result<Listener, ServeError> {
        let wrong = |source| ServeError::Address { listen: listen.to_owned(), source };
        let mut addrs = tokio::net::lookup_host(listen).await.map_err(wrong)?;
        let addr = addrs.next().ok_or_else(|| wrong(std::io::Error::other("the name has no address")))?;
        if !addr.ip().is_loopback() && !has_token {
            return Err(ServeError::Unprotected { addr });
        }
        let listener = TcpListener::bind(addr).await.map_err(|source| ServeError::Bind { addr, source })?;
        let addr = listener.local_addr().map_err(|source| ServeError::Bind { addr, source })?;
        Ok(Listener { listener, addr })
    }

    /// The address, with the port that was given when 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` resolves; then takes no more requests, ends the streams, and waits for the open requests for
    /// a while.
    pub async fn serve(self, gateway: Arc<Gateway>, stop: impl Future<Output = ()>) {
        let service = TowerToHyperService::new(router(Arc::clone(&gateway)));
        let connections = connections::take_in(self.listener, CONNECTIONS_MAX, stop, |socket, peer| {
            let service = service.clone();
            let service = service_fn(move |mut request: hyper::Request<Incoming>| {
                request.extensions_mut().insert(Remote(peer));
                service.call(request)
            });
            let mut stopping = gateway.stopping.subscribe();
            async move {
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
                builder.max_headers(HEADERS_MAX).max_buf_size(HEAD_BYTES_MAX);
                let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
                let stopped = async {
                    let _ = stopping.wait_for(|stopping| *stopping).await;
                };
                let ended = tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = stopped => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
            }
        });
        let connections = connections.await;
        gateway.stop();
        connections::let_end(connections).await;
    }
}
