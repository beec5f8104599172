//! What every database behind [`Backend`](super::Backend) promises, as tests that know nothing but the trait.
//!
//! A case is an async function over a [`Rig`], which opens one database as often as the case likes: closing and opening
//! again is how a case sees what is on disk. [`conformance_suite!`] makes a test of each case for one kind of database, so a
//! case added here is run by all. `setup.rs` has the things cases are made of.

mod accepting;
mod claims;
mod configuring;
mod erasing;
mod jobs;
mod known;
mod lanes;
mod noting;
mod polling;
mod random;
mod reading;
mod routing;
mod settling;
mod setup;
mod sweeping;

pub(in crate::db) use setup::{BOUNDS, Rig};

pub(in crate::db) mod cases {
    pub(in crate::db) use super::setup::acceptance_of;
    pub(in crate::db) use super::{
        accepting::*, claims::*, configuring::*, erasing::*, jobs::*, known::*, lanes::*,
        noting::*, polling::*, random::*, reading::*, routing::*, settling::*, sweeping::*,
    };
}

/// Makes a test of every case: `conformance_suite!(rig)`, where `rig()` gives a [`Rig`] on a new, empty database.
macro_rules! conformance_suite {
    ($rig:path) => {
        $crate::db::conformance::tests_of! { $rig:
            what_was_accepted_is_on_disk_after_opening_again,
            a_repeated_push_gets_the_first_ones_id,
            stores_take_turns,
            an_object_keeps_its_order_whatever_else_waits,
            held_messages_are_not_handed_out_twice,
            a_message_is_read_again_as_it_was_read_first,
            what_is_routed_at_once_is_routed_once,
            nothing_is_routed_past_what_waits,
            with_an_older_registry_all_is_left_to_the_router,
            one_lane_keeps_its_order_behind_a_failing_head,
            other_lanes_pass_a_failing_one,
            a_parked_delivery_steps_aside_and_comes_back_at_the_tail,
            an_unordered_mapping_waits_for_nobody,
            a_held_delivery_leaves_its_lane_until_released,
            what_a_mapping_enabled_meanwhile_would_have_held_goes_on,
            an_archived_head_lets_the_next_one_go,
            a_read_may_leave_mappings_out,
            large_messages_are_handed_out_a_few_at_a_time,
            a_fan_out_stores_the_payload_once,
            chunks_of_a_fan_out_survive_and_never_deliver_twice,
            a_message_nobody_wanted_is_routed_once,
            an_older_registry_or_owner_routes_nothing,
            a_mapping_takes_the_same_thing_once,
            a_claim_is_free_again_after_an_end_without_success,
            a_claim_expires,
            no_claim_claims_nothing,
            a_late_success_settles,
            a_late_failure_is_fenced_off,
            a_second_settlement_finds_it_gone,
            returned_messages_become_incoming_with_the_settlement,
            returned_parameters_are_saved_by_name,
            pushed_objects_are_merged_and_told_once,
            returned_objects_are_merged_with_the_settlement,
            a_tick_is_pushed_once,
            a_backlog_counts_what_waits_and_not_what_is_parked,
            a_message_nobody_wanted_is_listed_with_its_reason,
            a_list_is_filtered_by_everything_it_offers,
            pages_follow_one_another_by_key,
            a_detail_has_parent_children_and_attempts,
            a_timeline_merges_what_concerns_an_object,
            the_types_a_store_has_had_are_known,
            a_repeated_notification_is_counted_and_announced_once,
            events_are_found_by_level_object_and_message,
            a_loop_ends_at_its_depth_with_an_event,
            a_flood_about_one_object_ends_with_one_event,
            a_person_is_named_in_an_event,
            each_change_moves_the_version_and_is_told_once,
            a_name_is_unique_among_the_living_of_a_store,
            settings_of_an_endpoint_replace_the_former_ones,
            a_record_is_written_with_its_change_or_not_at_all,
            a_deleted_store_takes_what_is_its_own_with_it,
            a_sweep_takes_only_what_is_old_and_finished,
            a_sweep_takes_expired_keys_and_old_events,
            a_sweep_goes_in_steps,
            a_page_is_written_whole_and_once,
            a_former_poller_writes_nothing,
            an_odd_document_is_listed_until_it_can_be_read,
            an_erased_object_leaves_a_digest,
            a_shop_that_goes_down_is_told_with_its_heartbeat,
            a_stopped_backfill_writes_nothing_more,
            a_webhook_is_new_once,
            nothing_of_a_deleted_stores_shop_is_left,
            nothing_known_of_a_deleted_store_is_left,
            a_job_counts_what_its_filters_find,
            a_retry_goes_on_in_steps_across_a_restart,
            a_step_is_made_once,
            an_archive_job_leaves_alone_what_went_on,
            a_job_can_name_its_rows,
            a_replay_sends_archived_deliveries_again,
            a_replay_leaves_out_what_was_erased,
            an_older_registry_replays_nothing,
            a_stopped_job_does_nothing_more,
            jobs_that_ended_long_ago_are_swept,
            an_erased_object_leaves_states_and_times_and_no_words,
            what_comes_after_it_was_asked_for_is_not_erased,
            an_erasure_goes_on_after_opening_again,
            what_descends_and_is_about_nothing_is_erased_with_its_parent,
            a_customers_objects_are_found_by_the_address,
            an_erased_snapshot_is_known_without_its_name,
            a_random_history_keeps_heads_and_counters_right,
        }
    };
}

macro_rules! tests_of {
    ($rig:path: $($case:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $case() {
            $crate::db::conformance::cases::$case(&$rig()).await;
        }
    )+};
}

pub(in crate::db) use {conformance_suite, tests_of};
