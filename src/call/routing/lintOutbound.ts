/** Faults of a document that only calls out would show: carriers, groups, caller IDs, number formats, prices, numbers. */
import { DEFAULT_CURRENCY } from '../record/rating.js';
import type { Report } from './finding.js';
import { impossibleBecause } from './possibleNumber.js';
import type { Money } from './resources.js';
import { groupId } from './semantics.js';
import type { RoutingDocument } from './shapes.js';

/** A number costs microseconds to look up, and a table may have a million. */
const MAX_NUMBERS = 20_000;

export function checkOutbound(document: RoutingDocument, report: Report): void {
  checkAccountLists(document, report);
  checkGateways(document, report);
  checkCallerRules(document, report);
  checkCaps(document, report);
  checkNumbers(document, report);
}

function checkAccountLists(document: RoutingDocument, report: Report): void {
  const carriers = new Map(document.carriers.map((carrier) => [carrier.id, carrier]));
  const groups = new Set(document.network_groups.map(groupId));
  document.accounts.forEach((account, i) => {
    account.carriers?.forEach((id, j) => {
      const owner = carriers.get(id)?.account_sid;
      const foreign = owner !== undefined && owner !== account.sid;
      if (carriers.has(id) && !foreign) return;
      const why = foreign ? 'belongs to another account' : 'does not exist';
      const message = `account ${account.sid} lists carrier ${id}, which ${why}`;
      report('warning', 'unknown_carrier_listed', `accounts[${i}].carriers[${j}]`, [message, 'Correct the name.']);
    });
    account.disabled_network_groups?.forEach((id, j) => {
      if (groups.has(id)) return;
      const message = `account ${account.sid} has switched off ${id}, and there is no such network group`;
      const remedy = 'Write carrier/country/name of a group.';
      report('warning', 'unknown_network_group', `accounts[${i}].disabled_network_groups[${j}]`, [message, remedy]);
    });
  });
}

function checkGateways(document: RoutingDocument, report: Report): void {
  document.carriers.forEach((carrier, i) => {
    carrier.gateways.forEach((gateway, j) => {
      const path = `carriers[${i}].gateways[${j}]`;
      const { uri, number_style: style = 'e164', country_code: code, tech_prefix: prefix } = gateway;
      if (style === 'national' && code === undefined) {
        const message = `${uri} takes national numbers of no country: it is sent E.164`;
        report('warning', 'national_without_country', path, [message, 'Set country_code of the gateway.']);
      }
      if (prefix !== undefined && style === 'e164') {
        const message = `${uri} is sent ${prefix}+...: a plus behind a prefix`;
        report('warning', 'prefix_before_plus', path, [message, 'Set number_style to digits, if it takes no plus.']);
      }
    });
  });
}

function checkCallerRules(document: RoutingDocument, report: Report): void {
  document.trunks.forEach(({ trunk_sid: sid, settings }, i) => {
    if (settings?.caller_id !== 'replace' || settings.trunk_external_alias !== undefined) return;
    const message = `trunk ${sid} replaces strange caller IDs, and has no alias to put in their place: it refuses them`;
    report('warning', 'replace_without_alias', `trunks[${i}].settings`, [message, 'Set trunk_external_alias.']);
  });
}

function checkCaps(document: RoutingDocument, report: Report): void {
  const rates = [...document.network_groups, ...document.carriers.flatMap(({ flat_rate: rate }) => rate ?? [])];
  const priced = rates.filter((rate) => rate.outbound_price !== undefined);
  const currencies = new Set(priced.map((rate) => rate.currency ?? DEFAULT_CURRENCY));
  const look = (path: string, name: string, money: Money | undefined): void => {
    if (money === undefined || currencies.has(money.currency)) return;
    const message = `${name} may spend ${money.amount} ${money.currency} a day, and nothing is priced in ${money.currency}: all its calls are refused`;
    report('error', 'spend_without_price', `${path}.spend_per_day`, [message, 'Price the destinations in it.']);
  };
  document.accounts.forEach(({ sid, spend_per_day: money }, i) => look(`accounts[${i}]`, `account ${sid}`, money));
  document.trunks.forEach(({ trunk_sid: sid, spend_per_day: money }, i) => look(`trunks[${i}]`, `trunk ${sid}`, money));
}

function checkNumbers(document: RoutingDocument, report: Report): void {
  let looked = 0;
  document.trunks.forEach((trunk, i) => {
    for (let j = 0; j < trunk.phone_numbers.length && looked < MAX_NUMBERS; j++, looked++) {
      const number = trunk.phone_numbers[j]?.phone_number ?? '';
      const why = number.startsWith('+') ? impossibleBecause(number) : undefined;
      if (why === undefined) continue;
      const message = `${number} is not a possible number: ${why}`;
      report('info', 'impossible_number', `trunks[${i}].phone_numbers[${j}]`, [message, 'Look at the digits.']);
    }
  });
}
