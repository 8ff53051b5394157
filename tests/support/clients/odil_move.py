"""A C-MOVE by odil's Python bindings, which only the distribution's own interpreter has.

Called with host, port, calling and called AE title, destination and the identifier as JSON; prints status, completed
and failed sub-operations as JSON.
"""

import json
import sys

import odil


def main(host: str, port: str, calling: str, called: str, destination: str, identifier: str) -> None:
    """Move and print how it ended."""
    model = odil.registry.StudyRootQueryRetrieveInformationModelMove
    syntaxes = [odil.registry.ImplicitVRLittleEndian, odil.registry.ExplicitVRLittleEndian]
    parameters = odil.AssociationParameters
    context = parameters.PresentationContext(1, model, syntaxes, parameters.PresentationContext.Role.SCU)
    association = odil.Association()
    association.set_peer_host(host)
    association.set_peer_port(int(port))
    association.update_parameters().set_calling_ae_title(calling).set_called_ae_title(called).set_presentation_contexts(
        [context]
    )
    association.associate()
    query = odil.DataSet()
    for keyword, value in json.loads(identifier).items():
        query.add(getattr(odil.registry, keyword), [value])
    outcome = [0, 0, 0]

    def note(response: "odil.messages.CMoveResponse") -> None:
        outcome[:] = [
            response.get_status(),
            response.get_number_of_completed_sub_operations()
            if response.has_number_of_completed_sub_operations()
            else 0,
            response.get_number_of_failed_sub_operations() if response.has_number_of_failed_sub_operations() else 0,
        ]

    mover = odil.MoveSCU(association)
    mover.set_affected_sop_class(model)
    mover.set_move_destination(destination)
    mover.move(query, lambda _data_set: None, note)
    association.release()
    sys.stdout.write(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
