//! Puts the parts together: opens the database, listens, serves, and takes everything down again in order.

use std::{sync::Arc, time::SystemTime};

use anyhow::{Context as _, bail};
use skylinedb::proto::FILE_DESCRIPTOR_SET;
use skylinedb_engine::Database;
use skylinedb_local::{DatabaseLock, Places};
use tokio::runtime::Builder;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use crate::{
    args::Arguments,
    lifecycle::Lifecycle,
    service::{self, Dispatch, Limits, Service, SkylineDbServiceServer},
    surroundings::Surroundings,
    transport::{self, Access},
};

/// A request of health or reflection: a name. They are not counted among the messages under way.
const SMALL_MESSAGE_BYTES: usize = 4 << 10;

type SkylineDb = SkylineDbServiceServer<Service>;

/// Runs the daemon until it is told to end.
pub(crate) fn run(
    arguments: &Arguments,
    places: &Places,
    surroundings: Surroundings,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    if let Err(error) = skylinedb_local::process::raise_open_files_limit() {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
    let mut runtime = Builder::new_multi_thread();
    let runtime = runtime.worker_threads(arguments.threads().get()).enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(arguments, places, surroundings, lifecycle));
    // Threads that still run a statement are not waited for: its client takes no answer any more.
    runtime.shutdown_background();
    outcome
}

async fn serve(
    arguments: &Arguments,
    places: &Places,
    mut surroundings: Surroundings,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let start_time = SystemTime::now();
    let (socket_file, policy) = (arguments.access.socket_file()?, arguments.access.policy()?);
    let config = arguments.engine()?;
    let ledger = config.ledger.clone();
    let path = config.path.clone();
    let _database_lock = DatabaseLock::acquire(&path, arguments.access.database_file())?;
    let database = Database::open(config).with_context(|| format!("cannot open the database {}", path.display()))?;
    let database = Arc::new(database);
    let listener = surroundings.listen(&places.endpoint, socket_file, &policy)?;
    let endpoint = listener.path();

    let limits = Limits {
        sql_bytes: arguments.max_sql_bytes.get(),
        sessions: arguments.max_sessions.get(),
        message_bytes: arguments.max_message_bytes.get(),
        snapshot_idle: arguments.snapshot_idle_timeout,
    };
    let service = Service::new(Arc::clone(&database), lifecycle.clone(), limits, start_time);
    let skylinedb =
        SkylineDb::new(service).max_decoding_message_size(limits.message_bytes).max_encoding_message_size(usize::MAX); // what a client may get, its own limit decides

    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<SkylineDb>().await;
    let others = Routes::new(health_service.max_decoding_message_size(SMALL_MESSAGE_BYTES))
        .add_service(reflection().build_v1()?.max_decoding_message_size(SMALL_MESSAGE_BYTES))
        .add_service(reflection().build_v1alpha()?.max_decoding_message_size(SMALL_MESSAGE_BYTES))
        .prepare();

    tracing::info!("IPC server listening");
    surroundings.ready(format!("Serving {} on {}", path.display(), endpoint.display()));
    tracing::debug!(
        socket = %endpoint.display(), lock = %places.lock_file.display(), database = %path.display(), "serving"
    );
    tokio::join!(
        lifecycle.part(
            "accepting connections",
            transport::serve(
                listener,
                Access::new(policy),
                Dispatch::new(skylinedb, others, limits.message_bytes, ledger),
                service::peer_not_allowed,
                lifecycle
            )
        ),
        lifecycle.run(),
        lifecycle.part("reporting health", not_serving_when_draining(lifecycle, health, &surroundings)),
        fail_with_database(lifecycle, &database),
    );
    tokio::task::spawn_blocking(move || database.close()).await.context("closing the database failed")?;
    if let Some(reason) = lifecycle.failure() {
        bail!("the daemon has failed: {reason}");
    }
    tracing::info!("Daemon stopped");
    Ok(())
}

/// Ends the daemon once nothing but errors can be answered any more.
async fn fail_with_database(lifecycle: &Lifecycle, database: &Database) {
    tokio::select! {
        error = database.failure() => lifecycle.fail(&error.to_string()),
        reason = database.failed() => lifecycle.fail(&reason),
        () = lifecycle.closing().cancelled() => {}
    }
}

async fn not_serving_when_draining(lifecycle: &Lifecycle, health: HealthReporter, surroundings: &Surroundings) {
    lifecycle.draining().cancelled().await;
    surroundings.stopping(lifecycle.failure());
    health.set_not_serving::<SkylineDb>().await;
    health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET) // so that ErrorInfo can be read
}
