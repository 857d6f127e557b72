"""A metric provider: how many orders wait in a queue, as the shop's own API says.

provider:
  plugin:
    acme/backlog:
      url: http://orders.shop.svc/queues
      queue: "{{args.queue}}"
"""

import json
from urllib.parse import quote

from prograde.providers.base import AtOnce, ProviderError, Reading
from prograde.providers.http import HttpError
from prograde.providers.plugin import plugin_config


class Backlog(AtOnce):
    """One look at one queue. Conditions see a map with ``waiting`` and ``oldest_seconds``."""

    async def read(self) -> Reading:
        config = plugin_config(self.metric)
        url = f"{config['url']}/{quote(config['queue'], safe='')}"
        try:
            answer = await self.context.http.request("GET", url, timeout_seconds=10, shares=True)
        except HttpError as err:
            raise ProviderError(str(err)) from err
        if answer.status != 200:
            raise ProviderError(f"the shop answers {answer.status}")
        try:
            queue = json.loads(answer.body)
            waiting, oldest = float(queue["waiting"]), float(queue["oldestSeconds"])
        except (ValueError, KeyError, TypeError) as err:
            raise ProviderError(f"the shop's answer is no queue: {err!r}") from err
        return Reading(
            result={"waiting": waiting, "oldest_seconds": oldest},
            text=f"{waiting:.0f} waiting, the oldest for {oldest:.0f} s",
        )
