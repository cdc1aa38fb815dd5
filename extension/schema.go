package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/schemadoc"
	"github.com/osquery-sockets/osquery-sockets/tables/osquerycore"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// newSchema is the command that describes the tables.
func newSchema(o *options) *cobra.Command {
	var asJSON, asMarkdown, asIndex, onlyNames bool
	var columns string
	c := &cobra.Command{
		Use:   "schema [TABLE…]",
		Short: "Describe the tables: columns, types, examples",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			all, _ := o.tables(o.host(hclog.NewNullLogger()))
			for _, t := range all {
				names = append(names, t.Name())
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			var specs, core []*schema.Spec
			var names []string
			h := o.host(hclog.NewNullLogger())
			all, _ := o.tables(h)
			for _, t := range all {
				specs = append(specs, t.Spec())
				names = append(names, t.Name())
			}
			for _, t := range osquerycore.All(h, osquerycore.Options{}) {
				core = append(core, t.Spec())
			}
			if len(args) > 0 {
				every := append(core, specs...)
				core, specs = nil, nil
				for _, name := range args {
					i := slices.IndexFunc(every, func(s *schema.Spec) bool { return s.Name == strings.ToLower(name) })
					if i < 0 {
						return noSuchTable(name, names)
					}
					specs = append(specs, every[i])
				}
			}
			if c.Flags().Changed("columns") {
				found, err := schemadoc.Columns(c.OutOrStdout(), append(specs, core...), columns)
				if err == nil && !found {
					err = fmt.Errorf("no column matches %q", columns)
				}
				return failed(err)
			}
			if onlyNames {
				for _, s := range specs {
					if _, err := fmt.Fprintln(c.OutOrStdout(), s.Name); err != nil {
						return failed(err)
					}
				}
				return nil
			}
			print := schemadoc.Text
			switch {
			case asJSON:
				print = schemadoc.JSON
			case asMarkdown:
				print = schemadoc.Markdown
			case asIndex:
				print = schemadoc.Index
			}
			err := print(c.OutOrStdout(), specs)
			if err == nil && len(core) > 0 && !asJSON && !asIndex {
				err = schemadoc.Core(c.OutOrStdout(), core, asMarkdown)
			}
			return failed(err)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON, in the shape of osquery's schema files")
	c.Flags().BoolVar(&asMarkdown, "markdown", false, "as a page of Markdown")
	c.Flags().BoolVar(&asIndex, "index", false, "as a Markdown table of the tables, one a line")
	c.Flags().BoolVar(&onlyNames, "names", false, "the names alone, one a line")
	c.Flags().StringVar(&columns, "columns", "", "the columns whose names match this pattern of LIKE, or contain it, one a line")
	c.MarkFlagsMutuallyExclusive("json", "markdown", "index", "names", "columns")
	return c
}

// noSuchTable is the error of a name that no table has.
func noSuchTable(name string, names []string) error {
	if why := osquerycore.Absent(strings.ToLower(name)); why != "" {
		return errors.New(why)
	}
	if nearest := schema.Nearest(name, names); nearest != "" {
		return fmt.Errorf("no such table: %s; did you mean %s?", name, nearest)
	}
	return fmt.Errorf("no such table: %s (there are %s)", name, strings.Join(names, ", "))
}
