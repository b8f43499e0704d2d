# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The option ``recovery``, the same for all modules of a failover to the second region."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  recovery:
    description:
      - Both regions, as the inventory variable C(recovery) describes them. O(environment) is the second one.
      - Addresses of the first region stand here, because its control plane may not be there to be asked.
    type: dict
    required: true
    suboptions:
      component:
        required: true
        description: Name of the component, which is also its inventory host.
        type: str
      first_region:
        required: true
        description: The region that users are served from on any other day.
        type: str
      first_address:
        required: true
        description: Host name of the first region's database.
        type: str
      first_port:
        description: Its port.
        type: int
        default: 5432
      first_url:
        required: true
        description: The first region's load balancer, past edge and DNS.
        type: str
      second_url:
        required: true
        description: The second region's load balancer, past edge and DNS.
        type: str
      edge_url:
        required: true
        description: Where users go.
        type: str
      host:
        description: The public name of the application, when the addresses are others.
        type: str
        default: ""
      canary_alarm:
        required: true
        description: Alarm in the second region that rings while its canary does not reach the first one.
        type: str
      traffic_namespace:
        description: Namespace of the metric that the DNS failover follows.
        type: str
        default: DailyEMR/Region
      traffic_metric:
        description: Name of that metric, in the second region. From 1 on, users are sent to the second region.
        type: str
        default: SecondRegionServes
      source_secret:
        required: true
        description: Name of the copy of the first region's DATABASE_URL, in the second region.
        type: str
      secret:
        required: true
        description: Name of the DATABASE_URL that the second region's tasks get.
        type: str
      declared:
        description: Why the first region is left though it answers, as the incident commander says it.
        type: str
        default: ""
"""
