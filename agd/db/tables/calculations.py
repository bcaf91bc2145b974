"""Calculations: what an engine made of a structure by a recipe, whole or in parts, attempt by attempt.

An engine is whatever answers for a cell with energy, forces and stress: a potential, or a code of first principles
found by `agd.dft_engines`. A recipe says all that its answer depends on but the structure; a calculation is of one
structure by one recipe and happens once. Part 0 of it is the whole: the cell of its structure. What is made of
displaced or strained cells has these as parts 1, 2, ...: each keeps its cell to the last digit, for `structure` holds
standard cells, which would undo a displacement. Steps, answers and attempts are each of a part. An attempt is an
activity: of several one at most succeeded, and what others computed stays. Cells are `[3, 3]`, places and forces
`[n, 3]`, row after row; strains and stresses `[6]` are xx, yy, zz, yz, xz, xy, a shear strain twice its component.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL

from agd.db.tables.columns import finite, made_by, metadata, ref, row_id

calculation_recipe = Table(
    "calculation_recipe",
    metadata,
    row_id(),
    Column("engine", Text, CheckConstraint("engine <> ''", name="engine_is_named"), nullable=False),
    Column("method", Text, ForeignKey("method.name"), comment="what its energies and gaps are by"),
    Column("potential_id", BigInteger, ForeignKey("potential.id"), comment="or the potential, with its weights"),
    Column("kind", Text, nullable=False),
    Column("inputs", JSONB, nullable=False, comment="all else that the answer depends on"),
    Column("sha256", Text, nullable=False, unique=True, comment="of everything above, by natural keys"),
    made_by(),
    CheckConstraint("kind IN ('relax', 'static', 'gap', 'phonons', 'elastic')", name="kind_is_known"),
    CheckConstraint("(method IS NULL) = (potential_id IS NOT NULL)", name="is_of_one_method"),
    Index("ix_calculation_recipe_potential", "potential_id"),
)

calculation = Table(
    "calculation",
    metadata,
    row_id(),
    ref("structure_id", "structure.id"),
    ref("recipe_id", "calculation_recipe.id"),
    Column("job_id", BigInteger, ForeignKey("job.id"), comment="that does it"),
    Column("campaign_id", BigInteger, ForeignKey("campaign.id"), comment="who asked first, and pays"),
    Column("screening_id", BigInteger, ForeignKey("screening.id"), comment="whose hit it is of"),
    made_by(),
    UniqueConstraint("structure_id", "recipe_id"),
    UniqueConstraint("id", "structure_id"),
    Index("ix_calculation_recipe", "recipe_id"),
    Index("ix_calculation_job", "job_id"),
    Index("ix_calculation_campaign", "campaign_id"),
)

calculation_part = Table(
    "calculation_part",
    metadata,
    ref("calculation_id", "calculation.id", primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False, comment="0: the whole"),
    Column("role", Text, nullable=False),
    Column("lattice", ARRAY(Double), comment="in Å; NULL for the whole, whose cell is its structure's"),
    Column("atomic_numbers", ARRAY(SmallInteger), comment="of the sites"),
    Column("frac", ARRAY(Double), comment="places of the sites, in fractions of the vectors"),
    Column("displaced_site", Integer, comment="counted from 0"),
    Column("displacement_angstrom", ARRAY(Double), comment="of that site"),
    Column("strain", ARRAY(Double)),
    made_by(),
    CheckConstraint("role IN ('whole', 'undisplaced', 'displaced', 'strained')", name="role_is_known"),
    CheckConstraint("part >= 0 AND (part = 0) = (role = 'whole')", name="first_is_the_whole"),
    CheckConstraint(
        "num_nonnulls(lattice, atomic_numbers, frac) = CASE part WHEN 0 THEN 0 ELSE 3 END", name="part_has_cell"
    ),
    CheckConstraint(
        "cardinality(lattice) = 9 AND cardinality(frac) = 3 * cardinality(atomic_numbers)", name="arrays_fit"
    ),
    CheckConstraint(
        "num_nonnulls(displaced_site, displacement_angstrom) = CASE role WHEN 'displaced' THEN 2 ELSE 0 END",
        name="displaced_says_how",
    ),
    CheckConstraint("(role = 'strained') = (strain IS NOT NULL)", name="strained_says_how"),
    CheckConstraint("cardinality(displacement_angstrom) = 3", name="displacement_is_a_vector"),
    CheckConstraint("cardinality(strain) = 6", name="strain_is_whole"),
)


def _of_part() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["calculation_id", "part"], ["calculation_part.calculation_id", "calculation_part.part"]
    )


calculation_attempt = Table(
    "calculation_attempt",
    metadata,
    ref("activity_id", "activity.id", primary_key=True),
    Column("calculation_id", BigInteger, nullable=False),
    Column("part", Integer, nullable=False),
    Column("code_version", Text, nullable=False, comment="of the engine"),
    Column(
        "n_cores", Integer, CheckConstraint("n_cores > 0", name="n_cores_is_positive"), nullable=False, comment="asked"
    ),
    Column("memory_asked_bytes", BigInteger),
    Column("hours_asked", Double),
    Column("outcome_class", Text, comment="one word: done, or what went wrong; NULL while it runs, or where it died"),
    Column("core_seconds", Double, comment="of processors, its programs' included"),
    Column("wall_seconds", Double),
    Column("memory_bytes", BigInteger, comment="the most that it held"),
    Column("corrections", JSONB, comment="what was changed on the way so that it went on"),
    Column("folder", Text, comment="where its files were"),
    Column("files_sha256", Text, comment="of the archive of its files, where that was kept"),
    _of_part(),
    CheckConstraint("outcome_class <> ''", name="outcome_class_is_given"),
    CheckConstraint("core_seconds >= 0 AND core_seconds < 'Infinity'", name="core_seconds_are_finite"),
    CheckConstraint("wall_seconds >= 0 AND wall_seconds < 'Infinity'", name="wall_seconds_are_finite"),
    CheckConstraint("memory_bytes >= 0", name="memory_is_a_count"),
    Index("ix_calculation_attempt_part", "calculation_id", "part"),
)

calculation_step = Table(
    "calculation_step",
    metadata,
    Column("calculation_id", BigInteger, primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="counted on from attempt to attempt"),
    Column("energy_ev", Double, nullable=False, comment="of the cell"),
    Column("lattice", ARRAY(Double), nullable=False, comment="in Å"),
    Column("frac", ARRAY(Double), nullable=False),
    Column("forces_ev_per_angstrom", ARRAY(Double), nullable=False),
    Column("stress_gpa", ARRAY(Double), comment="tension positive"),
    made_by(),
    _of_part(),
    finite("energy_ev"),
    CheckConstraint("number > 0", name="number_is_positive"),
    CheckConstraint(
        "cardinality(lattice) = 9 AND cardinality(frac) = cardinality(forces_ev_per_angstrom)"
        " AND coalesce(cardinality(stress_gpa) = 6, true)",
        name="arrays_fit",
    ),
)

calculation_energy = Table(
    "calculation_energy",
    metadata,
    Column("calculation_id", BigInteger, primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("energy_ev", Double, nullable=False, comment="of the cell"),
    Column("lattice", ARRAY(Double), comment="where it ended, in Å; NULL: as it began"),
    Column("frac", ARRAY(Double), comment="where its sites ended; NULL: as they began"),
    Column("forces_ev_per_angstrom", ARRAY(Double), nullable=False),
    Column("stress_gpa", ARRAY(Double), comment="tension positive"),
    made_by(),
    _of_part(),
    finite("energy_ev"),
    CheckConstraint(
        "coalesce(cardinality(lattice) = 9, true)"
        " AND coalesce(cardinality(frac) = cardinality(forces_ev_per_angstrom), true)"
        " AND coalesce(cardinality(stress_gpa) = 6, true)",
        name="arrays_fit",
    ),
)


def _of_calculation() -> Column[int]:
    return ref("calculation_id", "calculation.id", primary_key=True)


calculation_relaxed = Table(
    "calculation_relaxed",
    metadata,
    _of_calculation(),
    ref("structure_id", "structure.id"),
    Column("volume_ratio", Double, nullable=False, comment="after to before"),
    Column("n_steps", Integer, CheckConstraint("n_steps >= 0", name="n_steps_is_a_count"), nullable=False),
    made_by(),
    finite("volume_ratio"),
    Index("ix_calculation_relaxed_structure", "structure_id"),
)

calculation_gap = Table(
    "calculation_gap",
    metadata,
    _of_calculation(),
    Column("gap_ev", Double, nullable=False, comment="the least, wherever it is; 0 of a metal"),
    Column("direct_gap_ev", Double, nullable=False, comment="the least at one point"),
    Column("valence_k", ARRAY(Double), comment="where the highest filled state is, in reciprocal vectors"),
    Column("conduction_k", ARRAY(Double), comment="where the lowest empty one is"),
    Column("direct_k", ARRAY(Double), comment="where the direct gap is"),
    Column("n_kpoints", Integer, CheckConstraint("n_kpoints > 0", name="n_kpoints_is_positive"), nullable=False),
    Column("n_bands", Integer, CheckConstraint("n_bands > 0", name="n_bands_is_positive"), nullable=False),
    Column("is_spin_polarised", Boolean, nullable=False),
    made_by(),
    CheckConstraint("gap_ev >= 0 AND direct_gap_ev >= gap_ev AND direct_gap_ev < 'Infinity'", name="gaps_are_ordered"),
    CheckConstraint(
        "num_nonnulls(valence_k, conduction_k, direct_k) = CASE WHEN gap_ev > 0 THEN 3 ELSE 0 END", name="gap_is_placed"
    ),
    CheckConstraint(
        "coalesce(cardinality(valence_k) = 3 AND cardinality(conduction_k) = 3 AND cardinality(direct_k) = 3, true)",
        name="points_are_vectors",
    ),
)

calculation_elasticity = Table(
    "calculation_elasticity",
    metadata,
    _of_calculation(),
    Column(
        "stiffness_gpa",
        ARRAY(Double),
        nullable=False,
        comment="11, 12, .. 16, 22, .. 66, in the axes of the structure's lattice",
    ),
    Column("compliance_per_gpa", ARRAY(Double), comment="its inverse, in the same order; NULL where it has none"),
    Column("min_eigenvalue_gpa", Double, nullable=False),
    Column(
        "is_born_stable",
        Boolean,
        nullable=False,
        comment="whether every strain costs energy (10.1103/PhysRevB.90.224104)",
    ),
    Column("n_strained", Integer, CheckConstraint("n_strained >= 6", name="n_strained_suffices"), nullable=False),
    Column("residual_gpa", Double, nullable=False, comment="what the fit leaves of the stresses, root mean square"),
    made_by(),
    CheckConstraint(
        "cardinality(stiffness_gpa) = 21 AND coalesce(cardinality(compliance_per_gpa) = 21, true)", name="arrays_fit"
    ),
    CheckConstraint("is_born_stable = (min_eigenvalue_gpa > 0)", name="born_is_the_least_eigenvalue"),
    CheckConstraint("residual_gpa >= 0 AND residual_gpa < 'Infinity'", name="residual_is_finite"),
    finite("min_eigenvalue_gpa"),
)

calculation_phonons = Table(
    "calculation_phonons",
    metadata,
    _of_calculation(),
    Column("supercell", ARRAY(Integer), nullable=False, comment="[3, 3]: its vectors in those of the cell"),
    Column("displacement_angstrom", Double, nullable=False),
    Column("mesh", ARRAY(Integer), nullable=False, comment="points along each reciprocal vector"),
    Column("mesh_weights", ARRAY(Integer), nullable=False, comment="how many points each stands for"),
    Column("mesh_frequencies_thz", ARRAY(REAL), nullable=False, comment="[points, modes]; imaginary ones negative"),
    Column("path_points", ARRAY(REAL), nullable=False, comment="[points, 3] in reciprocal vectors"),
    Column("path_distances", ARRAY(REAL), nullable=False, comment="along the path, in 1/Å"),
    Column("path_labels", ARRAY(Text), nullable=False, comment="of the points that have a name, else empty"),
    Column("path_frequencies_thz", ARRAY(REAL), nullable=False, comment="[points, modes]"),
    Column("min_frequency_thz", Double, nullable=False, comment="of mesh and path; of an imaginary mode negative"),
    Column("imaginary_below_thz", Double, nullable=False, comment="what lies above is zero within the error"),
    Column("n_imaginary", Integer, nullable=False, comment="modes of mesh and path below that"),
    made_by(),
    CheckConstraint(
        "cardinality(supercell) = 9 AND cardinality(mesh) = 3 AND cardinality(mesh_weights) > 0"
        " AND cardinality(mesh_frequencies_thz) % cardinality(mesh_weights) = 0"
        " AND cardinality(path_points) = 3 * cardinality(path_distances)"
        " AND cardinality(path_labels) = cardinality(path_distances)"
        " AND cardinality(path_frequencies_thz) * cardinality(mesh_weights)"
        " = cardinality(mesh_frequencies_thz) * cardinality(path_distances)",
        name="arrays_fit",
    ),
    CheckConstraint("n_imaginary >= 0", name="n_imaginary_is_a_count"),
    CheckConstraint(
        "imaginary_below_thz <= 0 AND (n_imaginary > 0) = (min_frequency_thz < imaginary_below_thz)",
        name="imaginary_is_below",
    ),
    finite("displacement_angstrom"),
    finite("min_frequency_thz"),
)
