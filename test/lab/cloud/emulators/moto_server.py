"""Serves moto on a unix socket: `moto_server.py SOCKET`, with these differences from moto's own server:

- Failures inside moto are answered as a header and a JSON body that say what failed, instead of a page of HTML, so that the
  gateway can tell a call that moto lacks from one that broke.
- Instances of an Auto Scaling group are spread over its subnets and get what their launch template says. moto puts all of them in
  the first subnet, without instance profile and metadata options, reads the template's default version whichever the group
  names, and shows the same version for old and new members.
- A launch template's own tags are not shown as tags of what it launches, and user data is read in every version: moto does so in
  the first only.
- Documents are found by `$DEFAULT`, too.
"""

import json
import logging
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lifeline import end_with_parent  # noqa: E402

end_with_parent()
os.umask(0o077)

from botocore.model import OperationNotFoundError  # noqa: E402
from moto.autoscaling import models as autoscaling  # noqa: E402
from moto.ec2.models import launch_templates  # noqa: E402
from moto.ec2.utils import parse_user_data  # noqa: E402
from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.ssm import models as ssm  # noqa: E402
from werkzeug.exceptions import HTTPException  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

FAILURE_HEADER = "x-lab-failure"


def launch(group, count_needed, propagated_tags):
    """Replaces `FakeAutoScalingGroup.replace_autoscaling_group_instances`."""
    template = group.ec2_launch_template
    version = template.get_version(group.launch_template_version) if template else None
    data = version.data if version else {}
    for _ in range(count_needed):
        subnet_id = emptiest_subnet(group)
        reservation = group.ec2_backend.run_instances(
            group.image_id,
            1,
            group.user_data,
            group.security_groups,
            instance_type=group.instance_type,
            tags={"instance": {**propagated_tags, **group.instance_tags, autoscaling.ASG_NAME_TAG: group.name}},
            placement=None if subnet_id else group.availability_zones[0],
            launch_config=group.launch_config,
            launch_template={"LaunchTemplateId": template.id, "Version": version.number} if template else None,
            metadata_options=data.get("MetadataOptions", {}),
            is_instance_type_default=False,
            associate_public_ip=group.launch_config.associate_public_ip_address if group.launch_config else None,
            subnet_id=subnet_id,
        )
        instance = reservation.instances[0]
        instance.autoscaling_group = group
        state = autoscaling.InstanceState(
            instance, protected_from_scale_in=group.new_instances_protected_from_scale_in
        )
        state.template_version = version.number if version else None
        group.instance_states.append(state)
        profile = data.get("IamInstanceProfile", {})
        if profile:
            group.ec2_backend.associate_iam_instance_profile(
                instance_id=instance.id,
                iam_instance_profile_name=profile.get("Name"),
                iam_instance_profile_arn=profile.get("Arn"),
            )


def emptiest_subnet(group):
    subnets = (group.vpc_zone_identifier or "").split(",")
    used = [state.instance.subnet_id for state in group.instance_states]
    return min(subnets, key=used.count) or None


def template_of(state):
    """Replaces `InstanceState.launch_template`, which shows the group's template of now."""
    template = state.auto_scaling_group.ec2_launch_template if state.auto_scaling_group else None
    number = getattr(state, "template_version", None)
    if template is None or number is None:
        return None
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(number)}


def find_document(documents, document_version=None, version_name=None, strict=True):
    """Replaces `Documents.find`, which knows `$LATEST` but not `$DEFAULT`."""
    return plain_find_document(documents, None if document_version == "$DEFAULT" else document_version, version_name, strict)


def read_template(version, template, number, data, description):
    """Replaces `LaunchTemplateVersion.__init__`."""
    specifications = [each for each in data.pop("TagSpecifications", []) if each["ResourceType"] != "launch-template"]
    if specifications:
        data["TagSpecifications"] = specifications
    if isinstance(data.get("UserData"), (str, bytes)):
        data["UserData"] = parse_user_data(data["UserData"])
    plain_read_template(version, template, number, data, description)


def create_app(service):
    app = create_backend_app(service)

    @app.errorhandler(Exception)
    def failed(error):
        lacking = isinstance(error, (NotImplementedError, OperationNotFoundError, HTTPException))
        if not lacking:
            logging.getLogger("moto").exception("failed")
        message = str(error) if lacking else f"{type(error).__name__}: {error}"
        kind = "not-implemented" if lacking else "broken"
        return json.dumps({"message": message}), 500, {"content-type": "application/json", FAILURE_HEADER: kind}

    return app


logging.getLogger("werkzeug").setLevel(logging.ERROR)
autoscaling.FakeAutoScalingGroup.replace_autoscaling_group_instances = launch
autoscaling.InstanceState.launch_template = property(template_of)
plain_read_template = launch_templates.LaunchTemplateVersion.__init__
launch_templates.LaunchTemplateVersion.__init__ = read_template
plain_find_document = ssm.Documents.find
ssm.Documents.find = find_document
make_server(
    f"unix://{sys.argv[1]}",
    0,
    DomainDispatcherApplication(create_app),
    threaded=True,
    request_handler=MotoRequestHandler,
).serve_forever()
