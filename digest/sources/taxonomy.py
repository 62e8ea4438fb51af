"""arXiv's taxonomy: its archives and categories by name, and which categories are one.

As arXiv has it since 2017: 155 active categories in 20 archives.
"""

import re
from difflib import get_close_matches
from itertools import chain

PREFIX = re.compile(r"(?:arxiv|cat)\s*:\s*", re.IGNORECASE)
SEPARATOR = re.compile(r"\s*[,;\n]\s*")

ARCHIVES = {
    "astro-ph": "Astrophysics",
    "cond-mat": "Condensed Matter",
    "cs": "Computer Science",
    "econ": "Economics",
    "eess": "Electrical Engineering and Systems Science",
    "gr-qc": "General Relativity and Quantum Cosmology",
    "hep-ex": "High Energy Physics - Experiment",
    "hep-lat": "High Energy Physics - Lattice",
    "hep-ph": "High Energy Physics - Phenomenology",
    "hep-th": "High Energy Physics - Theory",
    "math": "Mathematics",
    "math-ph": "Mathematical Physics",
    "nlin": "Nonlinear Sciences",
    "nucl-ex": "Nuclear Experiment",
    "nucl-th": "Nuclear Theory",
    "physics": "Physics",
    "q-bio": "Quantitative Biology",
    "q-fin": "Quantitative Finance",
    "quant-ph": "Quantum Physics",
    "stat": "Statistics",
}

CATEGORIES = {
    "astro-ph.CO": "Cosmology and Nongalactic Astrophysics",
    "astro-ph.EP": "Earth and Planetary Astrophysics",
    "astro-ph.GA": "Astrophysics of Galaxies",
    "astro-ph.HE": "High Energy Astrophysical Phenomena",
    "astro-ph.IM": "Instrumentation and Methods for Astrophysics",
    "astro-ph.SR": "Solar and Stellar Astrophysics",
    "cond-mat.dis-nn": "Disordered Systems and Neural Networks",
    "cond-mat.mes-hall": "Mesoscale and Nanoscale Physics",
    "cond-mat.mtrl-sci": "Materials Science",
    "cond-mat.other": "Other Condensed Matter",
    "cond-mat.quant-gas": "Quantum Gases",
    "cond-mat.soft": "Soft Condensed Matter",
    "cond-mat.stat-mech": "Statistical Mechanics",
    "cond-mat.str-el": "Strongly Correlated Electrons",
    "cond-mat.supr-con": "Superconductivity",
    "cs.AI": "Artificial Intelligence",
    "cs.AR": "Hardware Architecture",
    "cs.CC": "Computational Complexity",
    "cs.CE": "Computational Engineering, Finance, and Science",
    "cs.CG": "Computational Geometry",
    "cs.CL": "Computation and Language",
    "cs.CR": "Cryptography and Security",
    "cs.CV": "Computer Vision and Pattern Recognition",
    "cs.CY": "Computers and Society",
    "cs.DB": "Databases",
    "cs.DC": "Distributed, Parallel, and Cluster Computing",
    "cs.DL": "Digital Libraries",
    "cs.DM": "Discrete Mathematics",
    "cs.DS": "Data Structures and Algorithms",
    "cs.ET": "Emerging Technologies",
    "cs.FL": "Formal Languages and Automata Theory",
    "cs.GL": "General Literature",
    "cs.GR": "Graphics",
    "cs.GT": "Computer Science and Game Theory",
    "cs.HC": "Human-Computer Interaction",
    "cs.IR": "Information Retrieval",
    "cs.IT": "Information Theory",
    "cs.LG": "Machine Learning",
    "cs.LO": "Logic in Computer Science",
    "cs.MA": "Multiagent Systems",
    "cs.MM": "Multimedia",
    "cs.MS": "Mathematical Software",
    "cs.NA": "Numerical Analysis",
    "cs.NE": "Neural and Evolutionary Computing",
    "cs.NI": "Networking and Internet Architecture",
    "cs.OH": "Other Computer Science",
    "cs.OS": "Operating Systems",
    "cs.PF": "Performance",
    "cs.PL": "Programming Languages",
    "cs.RO": "Robotics",
    "cs.SC": "Symbolic Computation",
    "cs.SD": "Sound",
    "cs.SE": "Software Engineering",
    "cs.SI": "Social and Information Networks",
    "cs.SY": "Systems and Control",
    "econ.EM": "Econometrics",
    "econ.GN": "General Economics",
    "econ.TH": "Theoretical Economics",
    "eess.AS": "Audio and Speech Processing",
    "eess.IV": "Image and Video Processing",
    "eess.SP": "Signal Processing",
    "eess.SY": "Systems and Control",
    "gr-qc": "General Relativity and Quantum Cosmology",
    "hep-ex": "High Energy Physics - Experiment",
    "hep-lat": "High Energy Physics - Lattice",
    "hep-ph": "High Energy Physics - Phenomenology",
    "hep-th": "High Energy Physics - Theory",
    "math-ph": "Mathematical Physics",
    "math.AC": "Commutative Algebra",
    "math.AG": "Algebraic Geometry",
    "math.AP": "Analysis of PDEs",
    "math.AT": "Algebraic Topology",
    "math.CA": "Classical Analysis and ODEs",
    "math.CO": "Combinatorics",
    "math.CT": "Category Theory",
    "math.CV": "Complex Variables",
    "math.DG": "Differential Geometry",
    "math.DS": "Dynamical Systems",
    "math.FA": "Functional Analysis",
    "math.GM": "General Mathematics",
    "math.GN": "General Topology",
    "math.GR": "Group Theory",
    "math.GT": "Geometric Topology",
    "math.HO": "History and Overview",
    "math.IT": "Information Theory",
    "math.KT": "K-Theory and Homology",
    "math.LO": "Logic",
    "math.MG": "Metric Geometry",
    "math.MP": "Mathematical Physics",
    "math.NA": "Numerical Analysis",
    "math.NT": "Number Theory",
    "math.OA": "Operator Algebras",
    "math.OC": "Optimization and Control",
    "math.PR": "Probability",
    "math.QA": "Quantum Algebra",
    "math.RA": "Rings and Algebras",
    "math.RT": "Representation Theory",
    "math.SG": "Symplectic Geometry",
    "math.SP": "Spectral Theory",
    "math.ST": "Statistics Theory",
    "nlin.AO": "Adaptation and Self-Organizing Systems",
    "nlin.CD": "Chaotic Dynamics",
    "nlin.CG": "Cellular Automata and Lattice Gases",
    "nlin.PS": "Pattern Formation and Solitons",
    "nlin.SI": "Exactly Solvable and Integrable Systems",
    "nucl-ex": "Nuclear Experiment",
    "nucl-th": "Nuclear Theory",
    "physics.acc-ph": "Accelerator Physics",
    "physics.ao-ph": "Atmospheric and Oceanic Physics",
    "physics.app-ph": "Applied Physics",
    "physics.atm-clus": "Atomic and Molecular Clusters",
    "physics.atom-ph": "Atomic Physics",
    "physics.bio-ph": "Biological Physics",
    "physics.chem-ph": "Chemical Physics",
    "physics.class-ph": "Classical Physics",
    "physics.comp-ph": "Computational Physics",
    "physics.data-an": "Data Analysis, Statistics and Probability",
    "physics.ed-ph": "Physics Education",
    "physics.flu-dyn": "Fluid Dynamics",
    "physics.gen-ph": "General Physics",
    "physics.geo-ph": "Geophysics",
    "physics.hist-ph": "History and Philosophy of Physics",
    "physics.ins-det": "Instrumentation and Detectors",
    "physics.med-ph": "Medical Physics",
    "physics.optics": "Optics",
    "physics.plasm-ph": "Plasma Physics",
    "physics.pop-ph": "Popular Physics",
    "physics.soc-ph": "Physics and Society",
    "physics.space-ph": "Space Physics",
    "q-bio.BM": "Biomolecules",
    "q-bio.CB": "Cell Behavior",
    "q-bio.GN": "Genomics",
    "q-bio.MN": "Molecular Networks",
    "q-bio.NC": "Neurons and Cognition",
    "q-bio.OT": "Other Quantitative Biology",
    "q-bio.PE": "Populations and Evolution",
    "q-bio.QM": "Quantitative Methods",
    "q-bio.SC": "Subcellular Processes",
    "q-bio.TO": "Tissues and Organs",
    "q-fin.CP": "Computational Finance",
    "q-fin.EC": "Economics",
    "q-fin.GN": "General Finance",
    "q-fin.MF": "Mathematical Finance",
    "q-fin.PM": "Portfolio Management",
    "q-fin.PR": "Pricing of Securities",
    "q-fin.RM": "Risk Management",
    "q-fin.ST": "Statistical Finance",
    "q-fin.TR": "Trading and Market Microstructure",
    "quant-ph": "Quantum Physics",
    "stat.AP": "Applications",
    "stat.CO": "Computation",
    "stat.ME": "Methodology",
    "stat.ML": "Machine Learning",
    "stat.OT": "Other Statistics",
    "stat.TH": "Statistics Theory",
}

#: Two names of one category, the second the one that counts.
ALIASES = {
    "cs.NA": "math.NA",
    "cs.SY": "eess.SY",
    "math.IT": "cs.IT",
    "math.MP": "math-ph",
    "q-fin.EC": "econ.GN",
    "stat.TH": "math.ST",
}

#: Archives that were closed, and the category that took in their papers.
CLOSED = {
    "acc-phys": "physics.acc-ph",
    "adap-org": "nlin.AO",
    "alg-geom": "math.AG",
    "ao-sci": "physics.ao-ph",
    "atom-ph": "physics.atom-ph",
    "bayes-an": "physics.data-an",
    "chao-dyn": "nlin.CD",
    "chem-ph": "physics.chem-ph",
    "cmp-lg": "cs.CL",
    "comp-gas": "nlin.CG",
    "dg-ga": "math.DG",
    "funct-an": "math.FA",
    "mtrl-th": "cond-mat.mtrl-sci",
    "patt-sol": "nlin.PS",
    "plasm-ph": "physics.plasm-ph",
    "q-alg": "math.QA",
    "solv-int": "nlin.SI",
    "supr-con": "cond-mat.supr-con",
}

#: The archives that are a group of their own; all others belong to physics.
GROUPS = {"cs", "econ", "eess", "math", "q-bio", "q-fin", "stat"}

#: Archives whose names are no words, so that whoever writes one means its categories.
NO_WORDS = ("astro-ph", "cond-mat", "eess", "nlin", "q-bio", "q-fin")

#: As people may write them -> as arXiv does.
NAMES = {name.lower(): name for name in (*CATEGORIES, *CLOSED, *ALIASES)}
#: A name behind its title, as arXiv's pages write it: "Machine Learning (cs.LG)".
TITLED = re.compile(r"\s\(([a-z-]+(?:\.[a-z-]+)?)\)", re.IGNORECASE)

#: What can be asked for by name: all that new papers stand in.
HARVESTED = {*ARCHIVES, *CATEGORIES, *ALIASES}


def canonical(category: str) -> str:
    """Return the one name by which a category counts. What isn't known stays as it is."""
    return ALIASES.get(category) or CLOSED.get(category) or category


def merged(categories: list[str]) -> list[str]:
    """Return the categories by their canonical names, each once, in their order."""
    return list(dict.fromkeys(map(canonical, categories)))


def named(text: str) -> str:
    """Return the category that a text is the name of, such as "cs.lg", or nothing."""
    return canonical(NAMES.get(text.strip().lower(), ""))


def listed(names: list) -> list[str]:
    """Return categories as arXiv writes them, each once. Raises ValueError for an unknown one."""
    names = [name for name in (str(name).strip() for name in names) if name]
    if unknown := [name for name in names if not named(name)]:
        told = ", ".join(unknown)[:100]
        raise ValueError(f"arXiv has no category called {told}. They are like cs.LG, stat.ML.")
    return list(dict.fromkeys(NAMES[name.lower()] for name in names))


def meant(text: str) -> tuple[str, ...]:
    """Return the categories that a text is the name of: one, those of an archive, or those of all
    in a list of such names; else none.

    >>> meant("cs.lg"), meant("eess")
    (('cs.LG',), ('eess.AS', 'eess.IV', 'eess.SP', 'eess.SY'))
    >>> meant("cs.LG, stat.ML"), meant("cs.LG, bread")
    (('cs.LG', 'stat.ML'), ())
    >>> meant("arXiv:cs.CL"), meant("Machine Learning (cs.LG)")
    (('cs.CL',), ('cs.LG',))
    """
    text = _untitled(text) if "(" in text else text  # Planning asks of each topic.
    names = [PREFIX.sub("", name) for name in SEPARATOR.split(text.strip()) if name]
    found = [_meant(name) for name in names]
    return tuple(dict.fromkeys(chain.from_iterable(found))) if all(found) else ()


def _untitled(text: str) -> str:
    """Return a text in which names of categories stand without their titles, which have commas."""
    for found in reversed([*TITLED.finditer(text)]):
        title = CATEGORIES.get(named(found[1]), "")
        before = text[: found.start()]
        if title and before.lower().endswith(title.lower()):
            text = before[: -len(title)] + found[1] + text[found.end() :]
    return text


def _meant(name: str) -> tuple[str, ...]:
    archive = name.lower()
    if archive in NO_WORDS:
        return tuple(name for name in CATEGORIES if archive_of(name) == archive)
    category = named(name)
    return (category,) if category else ()


def nearest(text: str) -> str:
    """Return the archive or category that a text that is none was meant for, or nothing.

    >>> nearest("cs.lg"), nearest("cmp-lg"), nearest("quant-phy"), nearest("bread")
    ('cs.LG', 'cs.CL', 'quant-ph', '')
    """
    names = {name.lower(): name for name in HARVESTED}
    near = get_close_matches(text.lower(), sorted(names), n=1)
    return CLOSED.get(text.lower()) or (names[near[0]] if near else "")


def archive_of(category: str) -> str:
    """Return the archive of a category: `cs` for cs.LG, `hep-th` for hep-th."""
    return category.partition(".")[0]


def group_of(category: str) -> str:
    """Return the group of a category's archive: `physics` for hep-th."""
    archive = archive_of(category)
    return archive if archive in GROUPS else "physics"
