"""Words that are no subject of a paper."""

#: Function words of English, in lower case, and words of abstracts about themselves. No word that
#: can be a subject: no "system", "interest", "use", "work", "put", "go" or "well".
STOP_WORDS = frozenset(
    """
    about above across after afterwards again against all almost alone along already also although
    always am among amongst an and another any anyhow anyone anything anyway anywhere are aren
    around as at away based be became because become becomes becoming been before beforehand behind
    being below beside besides between beyond both but by came can cannot come comes could couldn
    did didn do does doesn doing don done during each eg either else elsewhere enough etc even
    ever every everyone everything everywhere except few first followed following for former
    formerly from further furthermore gave get gets getting give given gives giving goes going
    gone got had hadn has hasn have haven having he hence her here hereafter hereby herein hers
    herself him himself his how however ie if in indeed instead into is isn it its itself just keep
    largely last later latter least let like ll made mainly make makes making many may maybe me
    meanwhile might more moreover most mostly much must mustn my myself namely nearly neither never
    nevertheless next no nobody none nonetheless nor not nothing now nowhere of off often on once
    one ones only onto or other others otherwise our ours ourselves out over overall own per
    perhaps please possible possibly quite rather re really said same say says see seem seemed
    seeming seems several shall shan she should shouldn since so some somehow someone something
    sometime sometimes somewhere still such take taken takes than that the their theirs them
    themselves then thence there thereafter thereby therefore therein these they third this those
    though three through throughout thus to together too toward towards two under until up upon us
    usually ve very via was wasn we were weren what whatever when whence whenever where whereas
    whereby wherein wherever whether which while whither who whoever whole whom whose why will with
    within without won would wouldn yet you your yours yourself yourselves

    paper papers propose proposed proposes show shows shown showed using used et al demonstrate
    demonstrates
    """.split()  # noqa: SIM905, a list of quoted words is harder to read
)
