"""Structures proposed for a composition, what potentials make of them, and where energies stand on a hull."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from agd.db.tables.columns import finite, made_by, metadata, ref, row_id

template_search = Table(
    "template_search",
    metadata,
    row_id(),
    ref("composition_id", "composition.id"),
    Column("plugin", Text, nullable=False, comment="of the templates"),
    Column("plugin_version", Text, nullable=False, comment="of the package that brought it"),
    Column("options", JSONB, nullable=False),
    Column(
        "n_searched",
        Integer,
        CheckConstraint("n_searched >= 0", name="n_searched_is_a_count"),
        nullable=False,
        comment="known structures",
    ),
    Column(
        "n_proposed",
        Integer,
        CheckConstraint("n_proposed >= 0", name="n_proposed_is_a_count"),
        nullable=False,
        comment="distinct types; 0: no analogue, which is not to say unstable",
    ),
    Column("recipe_sha256", Text, nullable=False, unique=True, comment="of everything above and the sources"),
    made_by(),
    UniqueConstraint("id", "composition_id"),
    Index("ix_template_search_composition", "composition_id"),
)

template_search_source = Table(
    "template_search_source",
    metadata,
    ref("search_id", "template_search.id", primary_key=True),
    ref("dataset_id", "dataset.id", primary_key=True),
)

structure_candidate = Table(
    "structure_candidate",
    metadata,
    ref("search_id", "template_search.id", primary_key=True),
    Column("rank", Integer, CheckConstraint("rank > 0", name="rank_is_positive"), primary_key=True),
    ref("structure_id", "structure.id"),
    ref("template_id", "structure.id"),
    Column("mapping", JSONB, nullable=False, comment="element of the template to those that take its sites"),
    Column("distance", Double, nullable=False, comment="of the two formulas, as the plug-in ranks"),
    finite("distance"),
    Index("ix_structure_candidate_structure", "structure_id"),
    Index("ix_structure_candidate_template", "template_id"),
)

potential = Table(
    "potential",
    metadata,
    row_id(),
    Column("plugin", Text, CheckConstraint("plugin <> ''", name="plugin_is_named"), nullable=False),
    Column("version", Text, nullable=False, comment="of the package that brought it"),
    Column("weights_sha256", Text, nullable=False),
    made_by(),
    UniqueConstraint("plugin", "version", "weights_sha256"),
)

relaxation = Table(
    "relaxation",
    metadata,
    row_id(),
    ref("from_id", "structure.id"),
    ref("potential_id", "potential.id"),
    Column("settings", JSONB, nullable=False, comment="where it stops, and what it refuses"),
    Column("settings_sha256", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("structure_id", BigInteger, ForeignKey("structure.id"), comment="what it became"),
    Column("energy_ev_per_atom", Double, comment="the potential's own, with no correction"),
    Column("max_force_ev_per_angstrom", Double),
    Column("volume_ratio", Double, comment="after to before"),
    Column("n_steps", Integer, CheckConstraint("n_steps >= 0", name="n_steps_is_a_count"), nullable=False),
    Column("reason", Text, comment="why it was refused"),
    made_by(),
    CheckConstraint("outcome IN ('relaxed', 'refused')", name="outcome_is_known"),
    CheckConstraint(
        "(outcome = 'relaxed') = (num_nonnulls(structure_id, energy_ev_per_atom) = 2)", name="relaxed_has_energy"
    ),
    CheckConstraint("(outcome = 'refused') = (reason IS NOT NULL AND reason <> '')", name="refused_has_reason"),
    finite("energy_ev_per_atom"),
    UniqueConstraint("from_id", "potential_id", "settings_sha256"),
    UniqueConstraint("id", "potential_id"),
    Index("ix_relaxation_structure", "structure_id"),
)

phase_set = Table(
    "phase_set",
    metadata,
    row_id(),
    Column("chemical_system", Text, nullable=False, index=True),
    Column("potential_id", BigInteger, ForeignKey("potential.id"), comment="all relaxed by this one"),
    Column("method", Text, ForeignKey("method.name"), comment="or all labels by this method and scheme"),
    Column("correction_scheme", Text, ForeignKey("correction_scheme.name")),
    Column("sha256", Text, nullable=False, unique=True, comment="of method and members, by natural keys"),
    made_by(),
    CheckConstraint("(potential_id IS NULL) = (method IS NOT NULL)", name="is_of_one_method"),
    CheckConstraint("(method IS NULL) = (correction_scheme IS NULL)", name="method_has_scheme"),
    UniqueConstraint("id", "potential_id"),
)

phase_set_member = Table(
    "phase_set_member",
    metadata,
    ref("phase_set_id", "phase_set.id", primary_key=True),
    Column("position", Integer, CheckConstraint("position > 0", name="position_is_positive"), primary_key=True),
    ref("composition_id", "composition.id"),
    Column("e_form_ev_per_atom", Double, nullable=False),
    Column("relaxation_id", BigInteger, ForeignKey("relaxation.id")),
    Column("label_id", BigInteger, ForeignKey("label.id")),
    CheckConstraint("num_nonnulls(relaxation_id, label_id) <= 1", name="has_one_source"),
    CheckConstraint("num_nonnulls(relaxation_id, label_id) = 1 OR e_form_ev_per_atom = 0", name="bare_element_is_zero"),
    finite("e_form_ev_per_atom"),
    Index("ix_phase_set_member_relaxation", "relaxation_id"),
    Index("ix_phase_set_member_label", "label_id"),
)

hull_distance = Table(
    "hull_distance",
    metadata,
    row_id(),
    ref("phase_set_id", "phase_set.id"),
    ref("composition_id", "composition.id"),
    Column("relaxation_id", BigInteger),
    Column("label_id", BigInteger),
    Column("potential_id", BigInteger, comment="of the relaxation and of the phases alike"),
    Column("e_form_ev_per_atom", Double, nullable=False),
    Column("hull_ev_per_atom", Double, nullable=False, comment="of the phases, where the composition is"),
    made_by(),
    CheckConstraint("num_nonnulls(relaxation_id, label_id) = 1", name="has_one_energy"),
    CheckConstraint("(relaxation_id IS NULL) = (potential_id IS NULL)", name="relaxation_has_potential"),
    finite("e_form_ev_per_atom"),
    finite("hull_ev_per_atom"),
    ForeignKeyConstraint(["label_id", "composition_id"], ["label.id", "label.composition_id"]),
    ForeignKeyConstraint(["relaxation_id", "potential_id"], ["relaxation.id", "relaxation.potential_id"]),
    ForeignKeyConstraint(["phase_set_id", "potential_id"], ["phase_set.id", "phase_set.potential_id"]),
    UniqueConstraint("phase_set_id", "relaxation_id"),
    UniqueConstraint("phase_set_id", "label_id"),
    UniqueConstraint("id", "phase_set_id"),
    Index("ix_hull_distance_composition", "composition_id"),
    Index("ix_hull_distance_relaxation", "relaxation_id"),
    Index("ix_hull_distance_label", "label_id"),
)

decomposition = Table(
    "decomposition",
    metadata,
    Column("hull_distance_id", BigInteger, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False, comment="of the phase in its set"),
    Column("phase_set_id", BigInteger, nullable=False),
    Column(
        "atomic_fraction",
        Double,
        CheckConstraint("atomic_fraction > 0 AND atomic_fraction <= 1.000001", name="atomic_fraction_is_a_share"),
        nullable=False,
    ),
    ForeignKeyConstraint(["hull_distance_id", "phase_set_id"], ["hull_distance.id", "hull_distance.phase_set_id"]),
    ForeignKeyConstraint(["phase_set_id", "position"], ["phase_set_member.phase_set_id", "phase_set_member.position"]),
)
