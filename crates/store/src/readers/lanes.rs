//! Connections of readers.
//!
//! A pool would look whether a connection still lives before it takes it back, which doubles what a short query costs; here
//! a broken one is found out by its next query, which is asked again on a new one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::query::QueryAs;
use sqlx::{Connection, FromRow, Postgres};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::Error;

/// How long a reader waits for its turn, for a new connection, and for an answer: somebody waits for the page.
const PATIENCE: Duration = Duration::from_secs(2);

/// A query and what is bound to it.
pub(super) type Asked<T> = QueryAs<'static, Postgres, T, PgArguments>;

/// Connections that readers share, so many at most. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lanes(Arc<Inner>);

struct Inner {
    connect: Arc<PgConnectOptions>,
    idle: Mutex<Vec<PgConnection>>,
    turns: Semaphore,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("free", &self.0.turns.available_permits()).finish_non_exhaustive()
    }
}

impl Lanes {
    pub(super) fn new(connect: Arc<PgConnectOptions>, connections: u32) -> Self {
        let turns = Semaphore::new(usize::try_from(connections.max(1)).unwrap_or(1));
        Self(Arc::new(Inner { connect, idle: Mutex::default(), turns }))
    }

    /// Runs a query on one of the connections, and gives all its rows.
    ///
    /// - `query`: makes it; twice if the first connection turns out to be broken.
    ///
    /// - **Errors:** [`Error::Unreachable`] too where no turn or no answer comes in time.
    pub(super) async fn all<T>(&self, query: impl Fn() -> Asked<T> + Sync) -> Result<Vec<T>, Error>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        let turn = timeout(PATIENCE, self.0.turns.acquire()).await.map_err(|_| late())?;
        let _turn = turn.map_err(|_| Error::Unreachable(sqlx::Error::PoolClosed))?;
        let kept = self.idle().pop();
        if let Some(mut connection) = kept {
            // Dropped with the wait: a connection in the middle of an answer is of no use to anybody.
            match timeout(PATIENCE, query().fetch_all(&mut connection)).await.map_err(|_| late())? {
                Ok(answer) => {
                    self.idle().push(connection);
                    return Ok(answer);
                }
                Err(error @ sqlx::Error::Database(_)) if !ends_connection(&error) => {
                    self.idle().push(connection);
                    return Err(error.into());
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection of readers broke; it is asked again on a new one");
                }
            }
        }
        let made = timeout(PATIENCE, PgConnection::connect_with(&self.0.connect)).await;
        let mut connection = made.map_err(|_| late())??;
        let answer = timeout(PATIENCE, query().fetch_all(&mut connection)).await.map_err(|_| late())??;
        self.idle().push(connection);
        Ok(answer)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all connections; who asks from now on is refused.
    pub(super) async fn close(&self) {
        self.0.turns.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            // The server finds out by itself, too.
            let _ = timeout(PATIENCE, connection.close()).await;
        }
    }
}

fn late() -> Error {
    Error::Unreachable(sqlx::Error::PoolTimedOut)
}

/// Whether the server ended the connection with its answer: it shuts down, or an administrator ended the session.
fn ends_connection(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
}
