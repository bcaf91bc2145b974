"""The keys of `--json` and of the Python interface stay what programs have read so far, in their order."""

import math
from dataclasses import fields
from typing import Any

import pytest

from agd import views

KEYS = {
    views.DftPreview: ("reduced_formula structure_id space_group n_atoms n_k_points core_hours is_done"),
    views.DftDone: ("calculation gap_ev direct_gap_ev valence_k conduction_k relaxed_id claim was_there"),
    views.FailureRate: ("what n_attempts n_failed core_seconds last_error"),
    views.Status: ("campaigns iterations at_work queue amendments"),
    views.Amendment: (
        "campaign number key old_value new_value n_steps after ended_at end_reason made_at agd_version host "
        "activity_id campaign_id"
    ),
    views.Extension: (
        "campaign state end_reason is_exhausted budget_calls_before budget_calls n_charged oracle_calls_left "
        "n_iterations_expected"
    ),
    views.CampaignProgress: (
        "state campaign property unit target_low target_high mode budget_calls n_iterations n_suggested "
        "n_undecodable n_decodable n_duplicate n_known n_rejected n_new n_charged n_finds finds_per_call highest "
        "lowest twin_of created_at stop_requested_at ended_at end_reason campaign_id best last_outcome last_error "
        "last_active time_spent n_launches engine parked_reason is_waiting n_known_finds budget_calls_at_first "
        "targets n_on_front"
    ),
    views.IterationProgress: (
        "campaign iteration n_suggested n_undecodable n_decodable n_duplicate n_known n_rejected n_new n_charged "
        "n_finds highest lowest is_recorded iteration_id campaign_id n_known_finds"
    ),
    views.Suggested: (
        "campaign iteration rank outcome reason decode_failure reduced_formula value uncertainty unit is_find "
        "is_retracted is_charged proposed posterior_mean posterior_sd acquisition seed suggested_at agd_version "
        "host autoencoder_sha256 suggestion_id campaign_id iteration_id latent_id composition_id label_id "
        "activity_id is_known lower_bound novelty analogue reference expected expected_sd properties is_on_front "
        "claim claim_level predicted_e_above_hull_ev_per_atom"
    ),
    views.PropertyOfSuggestion: (
        "position property value uncertainty unit is_retracted is_met expected expected_sd label_id"
    ),
    views.TargetProgress: ("position property unit low high n_met best"),
    views.ModelVersion: (
        "id kind plugin architecture_version options seed metrics tensors_sha256 training_set_id threads n_members "
        "n_bytes input_model_version_id"
    ),
    views.RunPlan: (
        "campaign mode target is_open_already is_unchanged dataset initial_rows autoencoder corpus corpus_rows "
        "oracle oracle_rows sampler pool oracle_calls_left spec_sha256 further_oracles"
    ),
    views.Dataset: (
        "name property unit n_compositions n_read n_rejected lowest mean highest source source_sha256 options "
        "imported_at id method correction_scheme n_structures"
    ),
    views.DatasetWithRefused: (
        "name property unit n_compositions n_read n_rejected lowest mean highest source source_sha256 options "
        "imported_at id method correction_scheme n_structures rejects"
    ),
    views.RefusedRow: ("dataset_id line kind formula value message"),
    views.Lineage: (
        "formula composition verdicts initial_in datasets generations labels screenings suggestions refusals "
        "model_versions query_ms best_labels claim structures hull_distances calculations phonons elasticity"
    ),
    views.Refusal: (
        "campaign iteration activity pool generation reason reduced_formula n_refused refused_at agd_version host "
        "activity_id campaign_id iteration_id"
    ),
    views.Composition: (
        "id reduced_formula chemical_system anonymous_formula n_elements n_atoms activity_id made_by made_at"
    ),
    views.PickedBy: (
        "campaign role rank reduced_formula value unit uncertainty pool pool_line pool_formula pool_sha256 "
        "screener screener_sha256 screened_at agd_version host screening_id campaign_id model_version_id "
        "composition_id activity_id n_hits criteria pool_generator pool_generator_sha256 pool_seed trained_on"
    ),
    views.TrainedOn: ("initial by_iteration retracted_since"),
    views.ListedIn: ("name source source_sha256 property n_read imported_at line formula is_generated"),
    views.Label: (
        "label_id reduced_formula property value unit uncertainty source_kind source source_sha256 source_line "
        "source_formula measured_on replicate note is_retracted retraction_reason retracted_at activity started_at "
        "agd_version host composition_id dataset_id model_version_id measurement_id activity_id method method_kind "
        "fidelity"
    ),
    views.Method: ("name kind fidelity description n_datasets added_at"),
    views.Claim: (
        "reduced_formula claim level is_valid n_proposed is_relaxed e_above_hull_ev_per_atom potential has_dft_gap "
        "dft_e_above_hull_ev_per_atom is_measured structure_novelty reference has_stable_phonons has_stable_dft_phonons"
    ),
    views.StructureCandidate: (
        "reduced_formula rank template template_entry mapping distance templates templates_version potential "
        "potential_version weights_sha256 outcome energy_ev_per_atom n_steps volume_ratio reason e_form_ev_per_atom "
        "e_above_hull_ev_per_atom products search_id structure_id template_id relaxation_id relaxed_id "
        "model model_version_id model_e_form_ev_per_atom model_relaxed_e_form_ev_per_atom"
    ),
    views.ComparedStructure: (
        "structure_id relaxed_id rank template energy_ev_per_atom above_lowest_mev_per_atom says"
    ),
    views.Ranking: ("ranker n_structures spearman is_lowest_right regret_mev_per_atom"),
    views.ComparedFormula: ("formula structures rankings"),
    views.RankingOfAll: (
        "ranker n_formulas n_structures mean_spearman n_lowest_right mean_regret_mev_per_atom share_within_25_mev"
    ),
    views.StructureComparison: ("potential model model_version_id formulas rankings refused"),
    views.Structured: (
        "formula n_searched n_proposed was_there claim candidates left_out predicted_e_above_hull_ev_per_atom"
    ),
    views.DistanceFromHull: (
        "reduced_formula e_form_ev_per_atom hull_ev_per_atom e_above_hull_ev_per_atom method method_kind "
        "correction_scheme is_standing is_newest products started_at hull_distance_id phase_set_id relaxation_id "
        "label_id"
    ),
    views.HullAt: ("method correction_scheme n_phases hull_ev_per_atom products"),
    views.HullOfComposition: ("formula hulls distances claim"),
    views.Verdict: ("rule rule_version is_charge_neutral is_electronegativity_balanced"),
    views.GeneratedAs: (
        "generation sample generated_formula n_samples generator generator_sha256 model_version_id seed "
        "generated_at agd_version host dataset_id"
    ),
    views.ModelOnTheWay: (
        "id kind plugin architecture_version options seed metrics tensors_sha256 started_at ended_at agd_version "
        "host n_members is_held_out drawn_from"
    ),
    views.SuggestedKnowing: (
        "campaign iteration rank outcome reason decode_failure reduced_formula value uncertainty unit is_find "
        "is_retracted is_charged proposed posterior_mean posterior_sd acquisition seed suggested_at agd_version "
        "host autoencoder_sha256 suggestion_id campaign_id iteration_id latent_id composition_id label_id "
        "activity_id is_known lower_bound novelty analogue reference expected expected_sd properties is_on_front "
        "claim claim_level predicted_e_above_hull_ev_per_atom"
        " learned_from made_from"
    ),
    views.MadeFrom: ("depth reduced_formula operator iteration"),
    views.Screening: (
        "screening_id campaign role pool pool_sha256 dataset criteria recipe_sha256 property unit model_version_id "
        "screener screener_sha256 metrics n_members started_at duration agd_version host n_read n_hits"
    ),
    views.Screened: (
        "campaign pool pool_sha256 criteria property unit unasked screeners was_there screenings n_shared n_read "
        "seconds formulas_per_s dry_run"
    ),
    views.ScreeningWithHits: (
        "screening_id campaign role pool pool_sha256 dataset criteria recipe_sha256 property unit model_version_id "
        "screener screener_sha256 metrics n_members started_at duration agd_version host n_read n_hits stages top"
    ),
    views.Hit: ("rank reduced_formula value uncertainty line formula other_rank"),
    views.TrainedModel: (
        "kind plugin property options seed threads recipe_sha256 n_initial n_learned last_iteration n_held_out "
        "was_there model_version_id tensors_sha256 metrics"
    ),
    views.Predicted: ("formula property value uncertainty unit is_learned_from distance share_nearer model_version_id"),
    views.Generation: (
        "generation generator generator_sha256 seed first_sample n_samples generated_at duration agd_version host "
        "dataset_id model_version_id activity_id options recipe_sha256 n_rejected n_compositions stages"
    ),
    views.FoundGeneration: (
        "generation generator generator_sha256 seed first_sample n_samples generated_at duration agd_version host "
        "dataset_id model_version_id activity_id options recipe_sha256 n_rejected n_compositions stages was_there "
        "dry_run seconds"
    ),
    views.ExpectedGeneration: (
        "generation generator generator_sha256 model_version_id seed first_sample n_samples options stages "
        "n_compositions n_probed estimate_s was_there dry_run seconds"
    ),
}


@pytest.mark.parametrize("view", KEYS)
def test_a_view_has_the_keys_it_had(view: Any) -> None:
    assert [field.name for field in fields(view)] == KEYS[view].split()


def test_views_are_frozen_rows() -> None:
    shown = [getattr(views, name) for name in views.__all__ if name[0].isupper()]
    assert len(shown) > len(KEYS)
    assert all(kind.__dataclass_params__.frozen and "__slots__" in vars(kind) for kind in shown)  # type: ignore[attr-defined]


def test_what_a_view_holds_becomes_plain() -> None:
    hit = views.Hit(1, "NaF", math.inf, 0.1, 2, "Na1F1", None)
    status = views.Status((), [], [], {"small": {"READY": 2}}, [])
    assert views.as_json(status) == {
        "campaigns": [],
        "iterations": [],
        "at_work": [],
        "queue": {"small": {"READY": 2}},
        "amendments": [],
    }
    assert views.plain({"a": [hit]})["a"][0]["formula"] == "Na1F1"
