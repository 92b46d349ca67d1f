import { type Answer, queryAnswer, xmlText } from "./aws-error.ts";
import { formStructures } from "./aws-request.ts";
import type { DescribedTarget, LoadBalancing } from "./load-balancing.ts";

const namespace = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";

const targetXml = ({ id, port, healthCheckPort, state, reason, description }: DescribedTarget): string =>
  `<member><Target><Id>${xmlText(id)}</Id><Port>${port}</Port></Target>` +
  `<HealthCheckPort>${xmlText(healthCheckPort)}</HealthCheckPort><TargetHealth><State>${state}</State>` +
  (reason === undefined ? "" : `<Reason>${xmlText(reason)}</Reason>`) +
  (description === undefined ? "" : `<Description>${xmlText(description)}</Description>`) +
  "</TargetHealth></member>";

/** Answers DescribeTargetHealth from the probes; `forward` lets moto refuse what is wrong with the request. */
export const describeTargetHealth = async (
  balancing: LoadBalancing,
  form: URLSearchParams,
  forward: () => Promise<Answer>,
): Promise<Answer> => {
  const answer = await forward();
  const arn = form.get("TargetGroupArn") ?? "";
  const known = balancing.targets(arn);
  if (answer.status !== 200 || known === undefined) return answer;
  const asked = formStructures(form, "Targets");
  const shown =
    asked.length === 0
      ? known
      : asked.map(({ Id = "", Port }) => {
          const port = Port === undefined ? undefined : Number(Port);
          const found = known.find((target) => target.id === Id && (port === undefined || target.port === port));
          return found ?? balancing.unregistered(arn, Id, port);
        });
  return queryAnswer(
    namespace,
    "DescribeTargetHealth",
    `<TargetHealthDescriptions>${shown.map(targetXml).join("")}</TargetHealthDescriptions>`,
  );
};
