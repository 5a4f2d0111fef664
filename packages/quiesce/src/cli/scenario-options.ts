import { type Command, Option } from 'commander';
import { flagOf, type OptionName, optionNames, optionOf, type ScenarioDefaults } from '../plan/options.js';
import { argument } from './arguments.js';

/** Adds the flags of scenario options to a subcommand, except for some. `help` replaces the table's help of an option. */
export function scenarioOptions(
  command: Command,
  help: { readonly [K in OptionName]?: string } = {},
  without: readonly OptionName[] = [],
): Command {
  for (const name of optionNames) {
    const { flag, adds, schema } = optionOf(name);
    if (flag === undefined || without.includes(name)) continue;
    const option = new Option(flag.term, help[name] ?? flag.help);
    const { read = (text: string): unknown => text } = flag;
    if (option.required) option.argParser(argument(schema, read, adds));
    command.addOption(option);
  }
  return command;
}

/** The scenario options that a command line gave. */
export function givenOptions(command: Command): ScenarioDefaults {
  const given: Partial<Record<OptionName, unknown>> = {};
  for (const option of command.options) {
    const name = optionNames.find((one) => flagOf(one) === option.long);
    const attribute = option.attributeName();
    if (name !== undefined && command.getOptionValueSource(attribute) === 'cli') {
      given[name] = command.getOptionValue(attribute);
    }
  }
  return given as ScenarioDefaults;
}
