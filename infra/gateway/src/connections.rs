//! The connections of a listener: taken in up to a bound, and given time to end.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::limits::SHUTDOWN_GRACE;

/// Takes in connections until `stop` resolves, at most `at_once` of them, each served by a task of its own; then the port is
/// free again. Gives those that are still open.
pub(crate) async fn take_in<S>(
    listener: TcpListener,
    at_once: usize,
    stop: impl Future<Output = ()>,
    mut serve: impl FnMut(TcpStream, SocketAddr) -> S,
) -> JoinSet<()>
where
    S: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = &mut stop => return connections,
            accepted = listener.accept(), if connections.len() < at_once => accepted,
            _ = connections.join_next(), if connections.len() >= at_once => continue,
        };
        let Ok((socket, peer)) = accepted else {
            // Out of file descriptors, most likely: give others time to close theirs.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = socket.set_nodelay(true);
        connections.spawn(serve(socket, peer));
    }
}

/// Waits a while for connections to end that were told to, and closes those that do not.
pub(crate) async fn let_end(mut connections: JoinSet<()>) {
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_GRACE, all).await.is_err() {
        tracing::warn!(open = connections.len(), "closing connections that did not end in time");
        connections.shutdown().await;
    }
}
