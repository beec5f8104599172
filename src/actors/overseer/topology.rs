//! The topology: what a node is made of, in one function.

use std::sync::Arc;

use actix::{Actor, ArbiterHandle, AsyncContext, Context, Recipient, Supervisor};

use super::super::{
    bell::{Bell, Ringing},
    directory::Seat,
    dispatcher::Dispatcher,
    foreman::Foreman,
    intake::Intake,
    poller::Poller,
    router::Router,
    scheduler::Scheduler,
    settler::Settler,
    shared::Shared,
    surveyor::Surveyor,
    sweeper::Sweeper,
    tray::Tray,
    vitals::{Guard, Office, Ping},
};

/// The factory of every actor: starts the next holder of an office on a thread, lets everyone know where it is, and returns where to
/// ask for its heartbeat.
///
/// | office | restarts softly | is sent | is woken by |
/// |---|---|---|---|
/// | Intake | no | `Submit` on its tray, by [`super::super::Hub::accept`] | |
/// | Router | no | | Intake, Settler, a node's shards that change, a timer |
/// | Settler | no | `Settle` on its tray, by attempts | |
/// | Dispatcher | when another took its lease | ends and outcomes of its attempts, on its tray | Router, people, registry changes, a timer |
/// | Poller | no | | people, hints, registry changes, a timer |
/// | Sweeper | no | | registry changes, a timer |
/// | Scheduler | no | | registry changes, a timer |
/// | Foreman | no | | people, a timer |
/// | Surveyor | no | | registry changes, people, a timer |
pub fn start(
    office: Office,
    guard: Guard,
    shared: &Arc<Shared>,
    on: &ArbiterHandle,
) -> Recipient<Ping> {
    let node = Arc::clone(shared);
    let directory = &shared.directory;
    let ringing = Ringing::default();
    let own = ringing.clone();
    match office {
        Office::Intake => {
            let tray = Tray::new();
            let own = tray.clone();
            let intake = Intake::start_in_arbiter(on, move |_| Intake::new(node, guard, own));
            tray.belong(intake.clone().recipient());
            directory.intake.set(tray);
            intake.recipient()
        }
        Office::Settler => {
            let tray = Tray::new();
            let own = tray.clone();
            let settler = Settler::start_in_arbiter(on, move |_| Settler::new(node, guard, own));
            tray.belong(settler.clone().recipient());
            directory.settler.set(tray);
            settler.recipient()
        }
        Office::Router => {
            let router = Supervisor::start_in_arbiter(on, move |_| Router::new(node, guard, own));
            directory.set_bell(office, Bell::new(router.clone().recipient(), ringing));
            router.recipient()
        }
        Office::Sweeper => {
            let sweeper = Sweeper::start_in_arbiter(on, move |_| Sweeper::new(node, guard, own));
            directory.set_bell(office, Bell::new(sweeper.clone().recipient(), ringing));
            sweeper.recipient()
        }
        Office::Scheduler => {
            let scheduler =
                Scheduler::start_in_arbiter(on, move |_| Scheduler::new(node, guard, own));
            directory.set_bell(office, Bell::new(scheduler.clone().recipient(), ringing));
            scheduler.recipient()
        }
        Office::Foreman => {
            let foreman = Foreman::start_in_arbiter(on, move |_| Foreman::new(node, guard, own));
            directory.set_bell(office, Bell::new(foreman.clone().recipient(), ringing));
            foreman.recipient()
        }
        Office::Surveyor => {
            let surveyor = Surveyor::start_in_arbiter(on, move |_| Surveyor::new(node, guard, own));
            directory.set_bell(office, Bell::new(surveyor.clone().recipient(), ringing));
            surveyor.recipient()
        }
        Office::Poller(store) => {
            let poller =
                Poller::start_in_arbiter(on, move |_| Poller::new(node, store, guard, own));
            directory.set_bell(office, Bell::new(poller.clone().recipient(), ringing));
            poller.recipient()
        }
        Office::Dispatcher(endpoint) => {
            let tray = Tray::new();
            let own_tray = tray.clone();
            let address = Supervisor::start_in_arbiter(on, move |ctx: &mut Context<Dispatcher>| {
                own_tray.belong(ctx.address().recipient());
                Dispatcher::new(node, endpoint, guard, own, own_tray)
            });
            let bell = Bell::new(address.clone().recipient(), ringing);
            directory.set_seat(
                endpoint,
                Some(Seat {
                    bell,
                    tray,
                    address: address.clone(),
                }),
            );
            address.recipient()
        }
    }
}
